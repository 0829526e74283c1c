/* What every BLAKE2b (RFC 7693) here has in common: its block, its start and its twelve rounds over `v[16]` and `m[16]`, of words
 * or of vectors of words. The includer defines MIX, the function G. Private to ext/. */
#ifndef FM_BLAKE2B_ROUNDS_H
#define FM_BLAKE2B_ROUNDS_H

#include <stdint.h>

enum { BLOCK = 128 };

static const uint64_t IV[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* A round with its row of the message schedule, spelled out so that every index is a constant. */
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, sd, se, sf)                                        \
    do {                                                                                                             \
        MIX(v[0], v[4], v[8], v[12], m[s0], m[s1]);                                                                  \
        MIX(v[1], v[5], v[9], v[13], m[s2], m[s3]);                                                                  \
        MIX(v[2], v[6], v[10], v[14], m[s4], m[s5]);                                                                 \
        MIX(v[3], v[7], v[11], v[15], m[s6], m[s7]);                                                                 \
        MIX(v[0], v[5], v[10], v[15], m[s8], m[s9]);                                                                 \
        MIX(v[1], v[6], v[11], v[12], m[sa], m[sb]);                                                                 \
        MIX(v[2], v[7], v[8], v[13], m[sc], m[sd]);                                                                  \
        MIX(v[3], v[4], v[9], v[14], m[se], m[sf]);                                                                  \
    } while (0)

/* The twelve rounds. BETWEEN(0) to BETWEEN(3) stand between them, for work that waits for other ports than they do. */
#define ROUNDS(BETWEEN)                                                                                              \
    do {                                                                                                             \
        ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);                                                 \
        ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);                                                 \
        BETWEEN(0);                                                                                                  \
        ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);                                                 \
        ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);                                                 \
        BETWEEN(1);                                                                                                  \
        ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);                                                 \
        ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);                                                 \
        BETWEEN(2);                                                                                                  \
        ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);                                                 \
        ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);                                                 \
        BETWEEN(3);                                                                                                  \
        ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);                                                 \
        ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);                                                 \
        ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);                                                 \
        ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);                                                 \
    } while (0)

#endif
