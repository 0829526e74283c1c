/* The table of avx512f. */
#include "portable.h"
#include "x25519.h"

extern const struct fm_kernels fm_kernels_avx512f;

const struct fm_kernels fm_kernels_avx512f = {
    .isa = "avx512f",
    .x25519 = fm_x25519_avx512f,
    .chacha20 = fm_chacha20_portable,
    .poly1305 = fm_poly1305_portable,
    .blake2b = fm_blake2b_portable,
};
