/* X25519 and the subgroup check of the vector instruction sets, for the tables in kernels_<isa>.c. Private to ext/. */
#ifndef FM_X25519_H
#define FM_X25519_H

#include <stddef.h>
#include <stdint.h>

void fm_x25519_avx2(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n);
void fm_x25519_avx512f(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n);

/* With the faster of two ladders, which is measured at the first call; and with either. */
void fm_x25519_avx512ifma(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n);
void fm_x25519_avx512ifma_a(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n);
void fm_x25519_avx512ifma_b(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n);

/* in[i] = 1 if point[i] is of a point of prime order, else 0. */
void fm_subgroup_avx2(uint8_t *in, const uint8_t *const *point, size_t n);
void fm_subgroup_avx512f(uint8_t *in, const uint8_t *const *point, size_t n);
void fm_subgroup_avx512ifma(uint8_t *in, const uint8_t *const *point, size_t n);

/* 1/in modulo 2^255 - 19, and 0 for 0: what is left when all lanes have been multiplied. In x25519_portable.c. */
void fm_x25519_invert(uint8_t out[32], const uint8_t in[32]);

#endif
