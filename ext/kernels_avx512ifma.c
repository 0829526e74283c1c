/* The table of avx512ifma. */
#include "portable.h"
#include "x25519.h"

extern const struct fm_kernels fm_kernels_avx512ifma;

const struct fm_kernels fm_kernels_avx512ifma = {
    .isa = "avx512ifma",
    .x25519 = fm_x25519_avx512ifma,
    .chacha20 = fm_chacha20_portable,
    .poly1305 = fm_poly1305_portable,
    .blake2b = fm_blake2b_portable,
};
