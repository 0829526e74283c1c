/* The ladder of X25519 with fold B, for two groups of eight lanes. */
#include "x25519_avx512ifma.h"

/* Fold B: 2^260 = 608 by whole products of 64 bits. Upper sums take the overflow of their neighbours, but do not hand on what
 * that makes overflow. */
INLINE fe fold_b(wide p)
{
    __m512i x608 = ALL(608);
    __asm__("" : "+v"(x608)); /* or the compiler would make shifts and additions of it */
#define UPPER(sum, below) _mm512_add_epi64(_mm512_and_si512(sum, MASK52), _mm512_srli_epi64(below, 52))
    const __m512i y6 = UPPER(p.c6, p.c5), y7 = UPPER(p.c7, p.c6), y8 = UPPER(p.c8, p.c7);
    const __m512i y5 = _mm512_and_si512(p.c5, MASK52), y9 = _mm512_add_epi64(p.c9, _mm512_srli_epi64(p.c8, 52));
#undef UPPER
#define FOLD(sum, y) _mm512_add_epi64(sum, _mm512_mullo_epi64(y, x608))
    return (fe){FOLD(p.c0, y5), FOLD(p.c1, y6), FOLD(p.c2, y7), FOLD(p.c3, y8), FOLD(p.c4, y9)};
#undef FOLD
}

INLINE fe mul(fe a, fe b, int biased)
{
    return fold_b(wide_mul(a, b, biased));
}

INLINE fe sqr(fe a, int biased)
{
    return fold_b(wide_sqr(a, biased));
}

#include "x25519_ladder_avx512ifma.h"

void fm_x25519_ladder_b2(struct group g[2])
{
    ladder(g, 2);
}
