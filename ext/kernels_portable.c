/* The table of the portable instruction set: plain 64-bit C, correct on every machine, the one that others are compared with. */
#include "portable.h"

extern const struct fm_kernels fm_kernels_portable;

const struct fm_kernels fm_kernels_portable = {
    .isa = "portable",
    .x25519 = fm_x25519_portable,
    .subgroup = fm_subgroup_portable,
    .chacha20 = fm_chacha20_portable,
    .poly1305 = fm_poly1305_portable,
    .blake2b = fm_blake2b_portable,
};
