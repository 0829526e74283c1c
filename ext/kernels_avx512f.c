/* The table of AVX-512 without IFMA: eight lanes of 64 bits, sixteen of 32. */
#include "portable.h"
#include "vectors.h"
#include "x25519.h"

extern const struct fm_kernels fm_kernels_avx512f;

const struct fm_kernels fm_kernels_avx512f = {
    .isa = "avx512f",
    .x25519 = fm_x25519_avx512f,
    .subgroup = fm_subgroup_avx512f,
    .chacha20 = fm_chacha20_avx512f,
    .poly1305 = fm_poly1305_avx512f,
    .blake2b = fm_blake2b_avx512f,
};
