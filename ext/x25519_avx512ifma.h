/* Field elements of X25519 in AVX-512 IFMA: eight lanes, a packet each; five limbs of 52 bits (the top one of 47).
 * Private to ext/.
 *
 * IFMA reads only the low 52 bits of what it multiplies, so a limb whose overflow has been added to its neighbour needs no mask.
 * Elements come in two kinds: *loose*, as products leave them, which may be added and subtracted; and *tight*, after one carry
 * chain, which may be multiplied: the low 52 bits of limbs 0..3 count (above them is what has been carried already), and limb 4
 * is below 2^47 + 2^12. Only products with a bias (a multiple of p that makes every limb large) are subtracted from.
 *
 * All is inlined into the ladders. Sums must stay in registers: hence names and macros, not arrays and loops. */
#ifndef FM_X25519_AVX512IFMA_H
#define FM_X25519_AVX512IFMA_H

#include <immintrin.h>

#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#define ALL(x) _mm512_set1_epi64((int64_t)(x))
#define ZERO _mm512_setzero_si512()
#define MASK52 ALL(((uint64_t)1 << 52) - 1)
#define MASK47 ALL(((uint64_t)1 << 47) - 1)

/* A bias is 1024 (2^260 - 608), which is 32768 p: limbs near 2^62. Products stay below 2^61.4. */
#define BIAS_0 ((((uint64_t)1 << 52) - 608) << 10)
#define BIAS_1 ((((uint64_t)1 << 52) - 1) << 10)

typedef struct {
    __m512i v0, v1, v2, v3, v4;
} fe;

/* Eight lanes of a call. */
struct group {
    __m512i swap[4]; /* bit t: whether bits t and t + 1 of the clamped scalar differ */
    fe u;            /* the point, tight and loose; later the product of all z before this one */
    fe x, z;         /* what the ladder leaves, loose: the result is x / z */
};

/* Set x and z of one group, or of two. The files say what folds A and B are. */
void fm_x25519_ladder_a1(struct group *g);
void fm_x25519_ladder_a2(struct group g[2]);
void fm_x25519_ladder_b2(struct group g[2]);

INLINE fe fe_add(fe a, fe b)
{
    return (fe){_mm512_add_epi64(a.v0, b.v0), _mm512_add_epi64(a.v1, b.v1), _mm512_add_epi64(a.v2, b.v2),
                _mm512_add_epi64(a.v3, b.v3), _mm512_add_epi64(a.v4, b.v4)};
}

/* a has a bias, b has none. */
INLINE fe fe_sub(fe a, fe b)
{
    return (fe){_mm512_sub_epi64(a.v0, b.v0), _mm512_sub_epi64(a.v1, b.v1), _mm512_sub_epi64(a.v2, b.v2),
                _mm512_sub_epi64(a.v3, b.v3), _mm512_sub_epi64(a.v4, b.v4)};
}

/* b where the mask is set, else a. */
INLINE fe fe_blend(__mmask8 mask, fe a, fe b)
{
    return (fe){_mm512_mask_blend_epi64(mask, a.v0, b.v0), _mm512_mask_blend_epi64(mask, a.v1, b.v1),
                _mm512_mask_blend_epi64(mask, a.v2, b.v2), _mm512_mask_blend_epi64(mask, a.v3, b.v3),
                _mm512_mask_blend_epi64(mask, a.v4, b.v4)};
}

/* a + bias */
INLINE fe fe_biased(fe a)
{
    return fe_add(a, (fe){ALL(BIAS_0), ALL(BIAS_1), ALL(BIAS_1), ALL(BIAS_1), ALL(BIAS_1)});
}

INLINE fe fe_small(uint64_t x)
{
    return (fe){ALL(x), ZERO, ZERO, ZERO, ZERO};
}

#define LO(sum, a, b) sum = _mm512_madd52lo_epu64(sum, a, b)
#define HI(sum, a, b) sum = _mm512_madd52hi_epu64(sum, a, b)
#define CARRY(from, into) into = _mm512_add_epi64(into, _mm512_srli_epi64(from, 52))

/* Loose to tight; 2^255 = 19. */
INLINE fe fe_carry(fe a)
{
    LO(a.v0, _mm512_srli_epi64(a.v4, 47), ALL(19));
    a.v4 = _mm512_and_si512(a.v4, MASK47);
    CARRY(a.v0, a.v1);
    CARRY(a.v1, a.v2);
    CARRY(a.v2, a.v3);
    CARRY(a.v3, a.v4);
    return a;
}

/* a + 121665 b: a loose, b tight. */
INLINE fe fe_add_a24(fe a, fe b)
{
    const __m512i a24 = ALL(121665);
    __m512i above = ZERO; /* 2^260 = 608 */
    HI(above, b.v4, a24);
    LO(a.v0, b.v0, a24), LO(a.v1, b.v1, a24), LO(a.v2, b.v2, a24), LO(a.v3, b.v3, a24), LO(a.v4, b.v4, a24);
    HI(a.v1, b.v0, a24), HI(a.v2, b.v1, a24), HI(a.v3, b.v2, a24), HI(a.v4, b.v3, a24);
    LO(a.v0, above, ALL(608));
    return a;
}

/* Zero, and a constant, for sums to begin with, made anew each time. A compiler would keep them in registers and copy them, and
 * of so many copies the processor renames only some away; clearing a register or loading it takes no vector port. */
INLINE __m512i fresh_zero(void)
{
    __m512i x;
    __asm__ volatile("vpxorq %0, %0, %0" : "=v"(x));
    return x;
}

INLINE __m512i fresh(const uint64_t *constant)
{
    __m512i x;
    __asm__ volatile("vpbroadcastq %1, %0" : "=v"(x) : "m"(*constant));
    return x;
}

static const uint64_t BIAS_FIRST = BIAS_0, BIAS_OTHER = BIAS_1, BIAS_HALF = BIAS_1 / 2;

/* The ten sums of a product, of which the lower ones may begin as the bias. */
typedef struct {
    __m512i c0, c1, c2, c3, c4, c5, c6, c7, c8, c9;
} wide;

/* Limb x of one factor times all limbs of the other, into five sums. */
#define ROW(OP, x, b, s0, s1, s2, s3, s4) \
    OP(p.s0, x, b.v0), OP(p.s1, x, b.v1), OP(p.s2, x, b.v2), OP(p.s3, x, b.v3), OP(p.s4, x, b.v4)
#define NEW(sum) p.sum = fresh_zero()

INLINE wide wide_mul(fe a, fe b, int biased)
{
    wide p;
    p.c0 = biased ? fresh(&BIAS_FIRST) : fresh_zero();
    p.c1 = biased ? fresh(&BIAS_OTHER) : fresh_zero();
    p.c2 = biased ? fresh(&BIAS_OTHER) : fresh_zero();
    p.c3 = biased ? fresh(&BIAS_OTHER) : fresh_zero();
    p.c4 = biased ? fresh(&BIAS_OTHER) : fresh_zero();
    ROW(LO, a.v0, b, c0, c1, c2, c3, c4), NEW(c5), ROW(HI, a.v0, b, c1, c2, c3, c4, c5);
    ROW(LO, a.v1, b, c1, c2, c3, c4, c5), NEW(c6), ROW(HI, a.v1, b, c2, c3, c4, c5, c6);
    ROW(LO, a.v2, b, c2, c3, c4, c5, c6), NEW(c7), ROW(HI, a.v2, b, c3, c4, c5, c6, c7);
    ROW(LO, a.v3, b, c3, c4, c5, c6, c7), NEW(c8), ROW(HI, a.v3, b, c4, c5, c6, c7, c8);
    ROW(LO, a.v4, b, c4, c5, c6, c7, c8), NEW(c9), ROW(HI, a.v4, b, c5, c6, c7, c8, c9);
    return p;
}

#define TWICE(x) x = _mm512_add_epi64(x, x)

/* Products of two different limbs count twice: those with limb 4 by a doubled limb 4, for which there is room, the others in
 * their sums. */
INLINE wide wide_sqr(fe a, int biased)
{
    wide p;
    p.c1 = biased ? fresh(&BIAS_HALF) : fresh_zero();
    p.c2 = biased ? fresh(&BIAS_HALF) : fresh_zero();
    p.c3 = biased ? fresh(&BIAS_HALF) : fresh_zero();
    p.c4 = biased ? fresh(&BIAS_HALF) : fresh_zero();
    LO(p.c1, a.v0, a.v1), LO(p.c2, a.v0, a.v2), LO(p.c3, a.v0, a.v3), NEW(c5), LO(p.c5, a.v2, a.v3);
    HI(p.c2, a.v0, a.v1), HI(p.c3, a.v0, a.v2), HI(p.c4, a.v0, a.v3), NEW(c6), HI(p.c6, a.v2, a.v3);
    LO(p.c3, a.v1, a.v2), LO(p.c4, a.v1, a.v3), HI(p.c5, a.v1, a.v3), HI(p.c4, a.v1, a.v2);
    TWICE(p.c1), TWICE(p.c2), TWICE(p.c6), TWICE(p.c3), TWICE(p.c5), TWICE(p.c4);
    __m512i a4 = a.v4;
    TWICE(a4), NEW(c7), LO(p.c6, a.v2, a4), LO(p.c7, a.v3, a4), LO(p.c5, a.v1, a4), LO(p.c4, a.v0, a4);
    NEW(c8), HI(p.c7, a.v2, a4), HI(p.c8, a.v3, a4), HI(p.c6, a.v1, a4), HI(p.c5, a.v0, a4);
    p.c0 = biased ? fresh(&BIAS_FIRST) : fresh_zero();
    LO(p.c0, a.v0, a.v0), LO(p.c2, a.v1, a.v1), LO(p.c4, a.v2, a.v2), LO(p.c6, a.v3, a.v3), LO(p.c8, a.v4, a.v4), NEW(c9);
    HI(p.c1, a.v0, a.v0), HI(p.c3, a.v1, a.v1), HI(p.c5, a.v2, a.v2), HI(p.c7, a.v3, a.v3), HI(p.c9, a.v4, a.v4);
    return p;
}

/* Fold A: 2^260 = 608 by IFMA, after the upper sums have handed on their overflow. Limb 4 of both factors is short, so that
 * 608 times the top sum has no high half. */
INLINE fe fold_a(wide p)
{
    const __m512i x608 = ALL(608);
    CARRY(p.c5, p.c6), CARRY(p.c6, p.c7), CARRY(p.c7, p.c8), CARRY(p.c8, p.c9);
    LO(p.c0, p.c5, x608), LO(p.c1, p.c6, x608), LO(p.c2, p.c7, x608), LO(p.c3, p.c8, x608), LO(p.c4, p.c9, x608);
    HI(p.c1, p.c5, x608), HI(p.c2, p.c6, x608), HI(p.c3, p.c7, x608), HI(p.c4, p.c8, x608);
    return (fe){p.c0, p.c1, p.c2, p.c3, p.c4};
}

#endif
