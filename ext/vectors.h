/* The symmetric primitives in vector code, for the tables in kernels_avx2.c, kernels_avx512f.c and kernels_avx512ifma.c. Private
 * to ext/. X25519 is in x25519.h. */
#ifndef FM_VECTORS_H
#define FM_VECTORS_H

#include "fm_kernels.h"

#define FM_VECTOR_KERNELS(isa)                                                                                       \
    void fm_chacha20_##isa(uint8_t *const *out, const uint8_t *const *in, const uint8_t *const *key,                 \
                           const uint8_t *const *nonce, const uint32_t *counter, size_t size, size_t n);             \
    void fm_poly1305_##isa(uint8_t *const *tag, const uint8_t *const *key, const uint8_t *const *message,            \
                           size_t size, size_t n);                                                                   \
    void fm_blake2b_##isa(const struct fm_hash *shared, uint8_t *const *out, const uint8_t *const *key,              \
                          const uint8_t *const *message, size_t n)

FM_VECTOR_KERNELS(avx2);
FM_VECTOR_KERNELS(avx512f);
void fm_poly1305_avx512ifma(uint8_t *const *tag, const uint8_t *const *key, const uint8_t *const *message, size_t size,
                            size_t n);

#endif
