/* The ladder of X25519 for two groups of eight lanes, with fold B. Products of the two groups run in turns. */
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

struct state {
    fe x2, z2, x3, z3; /* x2 and x3 with a bias */
};

/* (x2:z2) = 2 (x2:z2), or 2 (x3:z3) where the mask is set. */
INLINE void twice(struct state *s, __mmask8 mask)
{
    const fe x = fe_blend(mask, s->x2, s->x3), z = fe_blend(mask, s->z2, s->z3);
    const fe aa = sqr(fe_carry(fe_add(x, z)), 1), bb = sqr(fe_carry(fe_sub(x, z)), 0);
    const fe e = fe_carry(fe_sub(aa, bb)), f = fe_carry(fe_add_a24(aa, e));
    s->x2 = mul(fe_carry(aa), fe_carry(bb), 1);
    s->z2 = mul(e, f, 0);
}

/* Also (x3:z3) = (x2:z2) + (x3:z3), which is the same whichever is doubled, so only what is doubled has to be chosen. */
INLINE void step2(struct state s[2], const struct group g[2], int t)
{
    fe a[2], b[2], c[2], d[2], e[2], f[2];
#define BOTH for (int i = 0; i < 2; i++)
    BOTH a[i] = fe_carry(fe_add(s[i].x2, s[i].z2)), b[i] = fe_carry(fe_sub(s[i].x2, s[i].z2));
    BOTH c[i] = fe_carry(fe_add(s[i].x3, s[i].z3)), d[i] = fe_carry(fe_sub(s[i].x3, s[i].z3));
    BOTH s[i].x3 = mul(d[i], a[i], 1);
    BOTH s[i].z3 = mul(c[i], b[i], 0);
    BOTH {
        const __mmask8 mask = _mm512_test_epi64_mask(g[i].swap[t >> 6], ALL((uint64_t)1 << (t & 63)));
        a[i] = fe_blend(mask, a[i], c[i]);
        b[i] = fe_blend(mask, b[i], d[i]);
    }
    BOTH a[i] = sqr(a[i], 1);
    BOTH b[i] = sqr(b[i], 0);
    BOTH e[i] = fe_carry(fe_sub(a[i], b[i])), f[i] = fe_carry(fe_add_a24(a[i], e[i]));
    BOTH c[i] = fe_carry(fe_add(s[i].x3, s[i].z3)), d[i] = fe_carry(fe_sub(s[i].x3, s[i].z3));
    BOTH s[i].x3 = sqr(c[i], 1);
    BOTH d[i] = sqr(d[i], 0);
    BOTH s[i].x2 = mul(fe_carry(a[i]), fe_carry(b[i]), 1);
    BOTH s[i].z2 = mul(e[i], f[i], 0);
    BOTH s[i].z3 = mul(g[i].u, fe_carry(d[i]), 0);
#undef BOTH
}

void fm_x25519_ladder_b(struct group g[2])
{
    struct state s[2];
    for (int i = 0; i < 2; i++) {
        s[i].x2 = s[i].x3 = fe_biased(g[i].u);
        s[i].z2 = s[i].z3 = fe_small(1);
        twice(&s[i], 0); /* the top bit of the scalar is set */
    }
    for (int t = 253; t >= 3; t--)
        step2(s, g, t);
    for (int i = 0; i < 2; i++) {
        for (int t = 2; t >= 0; t--) /* the last three bits are clear */
            twice(&s[i], _mm512_test_epi64_mask(g[i].swap[0], ALL((uint64_t)1 << t)));
        g[i].x = s[i].x2;
        g[i].z = s[i].z2;
    }
}
