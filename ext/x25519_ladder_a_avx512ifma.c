/* The ladder of X25519 for one group of eight lanes, with fold A. Products run in pairs, row by row in turns. */
#include "x25519_avx512ifma.h"

INLINE void mul2(fe *pp, fe a, fe b, int p_biased, fe *qq, fe c, fe d, int q_biased)
{
    wide p, q;
    mul_begin(&p, p_biased), mul_begin(&q, q_biased);
#define BOTH(ROW) ROW(p, a, b), ROW(q, c, d)
    BOTH(MUL_0), BOTH(MUL_1), BOTH(MUL_2), BOTH(MUL_3), BOTH(MUL_4);
    BOTH(MUL_5), BOTH(MUL_6), BOTH(MUL_7), BOTH(MUL_8), BOTH(MUL_9);
#undef BOTH
#define BOTH(STEP) STEP(p), STEP(q)
    BOTH(FOLD_0), BOTH(FOLD_1), BOTH(FOLD_2), BOTH(FOLD_3), BOTH(FOLD_4), BOTH(FOLD_5), BOTH(FOLD_6);
#undef BOTH
    *pp = LOWER(p);
    *qq = LOWER(q);
}

INLINE void sqr2(fe *pp, fe a, int p_biased, fe *qq, fe b, int q_biased)
{
    wide p, q;
    sqr_begin(&p, p_biased), sqr_begin(&q, q_biased);
#define BOTH(ROW) ROW(p, a), ROW(q, b)
    BOTH(SQR_0), BOTH(SQR_1), BOTH(SQR_2), BOTH(SQR_3), BOTH(SQR_4);
    BOTH(SQR_5), BOTH(SQR_6), BOTH(SQR_7), BOTH(SQR_8);
#undef BOTH
#define BOTH(STEP) STEP(p), STEP(q)
    BOTH(FOLD_0), BOTH(FOLD_1), BOTH(FOLD_2), BOTH(FOLD_3), BOTH(FOLD_4), BOTH(FOLD_5), BOTH(FOLD_6);
#undef BOTH
    *pp = LOWER(p);
    *qq = LOWER(q);
}

struct state {
    fe x2, z2, x3, z3; /* x2 and x3 with a bias */
};

/* (x2:z2) = 2 (x2:z2), or 2 (x3:z3) where the mask is set. */
INLINE void twice(struct state *s, __mmask8 mask)
{
    fe aa, bb;
    const fe x = fe_blend(mask, s->x2, s->x3), z = fe_blend(mask, s->z2, s->z3);
    sqr2(&aa, fe_carry(fe_add(x, z)), 1, &bb, fe_carry(fe_sub(x, z)), 0);
    const fe e = fe_carry(fe_sub(aa, bb)), f = fe_carry(fe_add_a24(aa, e));
    mul2(&s->x2, fe_carry(aa), fe_carry(bb), 1, &s->z2, e, f, 0);
}

/* Also (x3:z3) = (x2:z2) + (x3:z3), which is the same whichever is doubled, so only what is doubled has to be chosen. */
INLINE void step(struct state *s, fe u, __mmask8 mask)
{
    fe da, cb, aa, bb, v2;
    const fe a = fe_carry(fe_add(s->x2, s->z2)), b = fe_carry(fe_sub(s->x2, s->z2));
    const fe c = fe_carry(fe_add(s->x3, s->z3)), d = fe_carry(fe_sub(s->x3, s->z3));
    mul2(&da, d, a, 1, &cb, c, b, 0);
    sqr2(&aa, fe_blend(mask, a, c), 1, &bb, fe_blend(mask, b, d), 0);
    const fe e = fe_carry(fe_sub(aa, bb)), f = fe_carry(fe_add_a24(aa, e));
    sqr2(&s->x3, fe_carry(fe_add(da, cb)), 1, &v2, fe_carry(fe_sub(da, cb)), 0);
    mul2(&s->x2, fe_carry(aa), fe_carry(bb), 1, &s->z2, e, f, 0);
    s->z3 = fold_a(wide_mul(u, fe_carry(v2), 0));
}

void fm_x25519_ladder_a(struct group *g)
{
    const fe u = g->u;
    struct state s = {.x2 = fe_biased(u), .z2 = fe_small(1), .x3 = fe_biased(u), .z3 = fe_small(1)};
    twice(&s, 0); /* the top bit of the scalar is set */
    for (int t = 253; t >= 3; t--)
        step(&s, u, _mm512_test_epi64_mask(g->swap[t >> 6], ALL((uint64_t)1 << (t & 63))));
    for (int t = 2; t >= 0; t--) /* the last three bits are clear */
        twice(&s, _mm512_test_epi64_mask(g->swap[0], ALL((uint64_t)1 << t)));
    g->x = s.x2;
    g->z = s.z2;
}
