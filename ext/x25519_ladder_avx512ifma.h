/* The Montgomery ladder (RFC 7748 section 5) of one group of eight lanes, or of two in turns, where one fills the other's
 * waits. (Two products row by row in turns fill them better still, by 1 % of the cycles; but so dense a stream of products
 * made an Intel core lower its clock by 9 %.) Included by each ladder's file, which has mul and sqr: loose products by its
 * fold, with a bias where asked. */
#include "x25519_avx512ifma.h"

struct state {
    fe x2, z2, x3, z3; /* x2 and x3 with a bias */
};

INLINE __mmask8 swap_bit(const struct group *g, int t)
{
    return _mm512_test_epi64_mask(g->swap[t >> 6], ALL((uint64_t)1 << (t & 63)));
}

/* (x2:z2) = 2 (x2:z2), or 2 (x3:z3) where the mask is set. */
INLINE void twice(struct state *s, __mmask8 mask)
{
    const fe x = fe_blend(mask, s->x2, s->x3), z = fe_blend(mask, s->z2, s->z3);
    const fe aa = sqr(fe_carry(fe_add(x, z)), 1), bb = sqr(fe_carry(fe_sub(x, z)), 0);
    const fe e = fe_carry(fe_sub(aa, bb));
    s->x2 = mul(fe_carry(aa), fe_carry(bb), 1);
    s->z2 = mul(e, fe_carry(fe_add_a24(aa, e)), 0);
}

/* Also (x3:z3) = (x2:z2) + (x3:z3). That sum is the same whichever of the two is doubled, so only what is doubled is chosen.
 * The names are those of the RFC; v is (DA - CB)^2. */
INLINE void step(struct state *s, const struct group *g, int t, int groups)
{
    fe a[2], b[2], c, d, aa[2], bb[2], e[2], v[2];
#define EACH _Pragma("GCC unroll 2") for (int i = 0; i < groups; i++)
    EACH {
        a[i] = fe_carry(fe_add(s[i].x2, s[i].z2)), b[i] = fe_carry(fe_sub(s[i].x2, s[i].z2));
        c = fe_carry(fe_add(s[i].x3, s[i].z3)), d = fe_carry(fe_sub(s[i].x3, s[i].z3));
        s[i].x3 = mul(d, a[i], 1), s[i].z3 = mul(c, b[i], 0); /* DA, CB */
        a[i] = fe_blend(swap_bit(&g[i], t), a[i], c), b[i] = fe_blend(swap_bit(&g[i], t), b[i], d);
    }
    EACH aa[i] = sqr(a[i], 1), bb[i] = sqr(b[i], 0);
    EACH {
        c = fe_carry(fe_add(s[i].x3, s[i].z3)), d = fe_carry(fe_sub(s[i].x3, s[i].z3));
        s[i].x3 = sqr(c, 1), v[i] = sqr(d, 0);
    }
    EACH e[i] = fe_carry(fe_sub(aa[i], bb[i])), s[i].x2 = mul(fe_carry(aa[i]), fe_carry(bb[i]), 1);
    EACH {
        const fe f = fe_carry(fe_add_a24(aa[i], e[i]));
        s[i].z3 = mul(g[i].u, fe_carry(v[i]), 0), s[i].z2 = mul(e[i], f, 0);
    }
#undef EACH
}

INLINE void ladder(struct group *g, int groups)
{
    struct state s[2];
    for (int i = 0; i < groups; i++) {
        s[i].x2 = s[i].x3 = fe_biased(g[i].u);
        s[i].z2 = s[i].z3 = fe_small(1);
        twice(&s[i], 0); /* bit 254 of the scalar is set */
    }
    for (int t = 253; t >= 3; t--) step(s, g, t, groups);
    for (int i = 0; i < groups; i++) {
        for (int t = 2; t >= 0; t--) twice(&s[i], swap_bit(&g[i], t)); /* bits 2, 1 and 0 are clear */
        g[i].x = s[i].x2;
        g[i].z = s[i].z2;
    }
}
