/* The ladders of X25519 with fold A, for one group of eight lanes and for two. */
#ifndef __clang__
#pragma GCC optimize("schedule-insns", "sched-pressure") /* 2 % less time */
#endif
#include "x25519_avx512ifma.h"

INLINE fe mul(fe a, fe b, int biased)
{
    return fold_a(wide_mul(a, b, biased));
}

INLINE fe sqr(fe a, int biased)
{
    return fold_a(wide_sqr(a, biased));
}

#include "x25519_ladder_avx512ifma.h"

void fm_x25519_ladder_a1(struct group *g)
{
    ladder(g, 1);
}

void fm_x25519_ladder_a2(struct group g[2])
{
    ladder(g, 2);
}
