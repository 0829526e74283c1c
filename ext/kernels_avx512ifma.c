/* The table of AVX-512 with IFMA: 52-bit products; where they bring nothing, the functions of AVX-512F. */
#include "portable.h"
#include "vectors.h"
#include "x25519.h"

extern const struct fm_kernels fm_kernels_avx512ifma;

const struct fm_kernels fm_kernels_avx512ifma = {
    .isa = "avx512ifma",
    .x25519 = fm_x25519_avx512ifma,
    .subgroup = fm_subgroup_avx512ifma,
    .chacha20 = fm_chacha20_avx512f,
    .poly1305 = fm_poly1305_avx512ifma,
    .blake2b = fm_blake2b_avx512f,
};
