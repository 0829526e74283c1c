/* The table of AVX2: four lanes of 64 bits, eight of 32. */
#include "portable.h"
#include "vectors.h"
#include "x25519.h"

extern const struct fm_kernels fm_kernels_avx2;

const struct fm_kernels fm_kernels_avx2 = {
    .isa = "avx2",
    .x25519 = fm_x25519_avx2,
    .subgroup = fm_subgroup_avx2,
    .chacha20 = fm_chacha20_avx2,
    .poly1305 = fm_poly1305_avx2,
    .blake2b = fm_blake2b_avx2,
};
