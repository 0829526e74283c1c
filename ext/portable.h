/* The five primitives in portable C, for the table in kernels_portable.c. Private to ext/. */
#ifndef FM_PORTABLE_H
#define FM_PORTABLE_H

#include "fm_kernels.h"

void fm_x25519_portable(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n);
void fm_subgroup_portable(uint8_t *in, const uint8_t *const *point, size_t n);
void fm_chacha20_portable(uint8_t *const *out, const uint8_t *const *in, const uint8_t *const *key,
                          const uint8_t *const *nonce, const uint32_t *counter, size_t size, size_t n);
void fm_poly1305_portable(uint8_t *const *tag, const uint8_t *const *key, const uint8_t *const *message, size_t size,
                          size_t n);
void fm_blake2b_portable(const struct fm_hash *shared, uint8_t *const *out, const uint8_t *const *key,
                         const uint8_t *const *message, size_t n);

#endif
