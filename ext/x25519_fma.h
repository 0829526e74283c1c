/* X25519 (RFC 7748) on LANES points at a time, with products by fused multiply-add of doubles. Included once by each
 * x25519_<isa>.c, which names the vectors: LANES = 2^LEVELS, vf (doubles), fma_vf, partner_vf, lanes (a mask), select_vf,
 * is_zero_vf, bit_of.
 *
 * A field element is five limbs of 51 bits in the doubles' integers, signed. The exact product of two doubles is taken in two
 * parts: rounded = fma(a, b, h), where h is near 3 * 2^102, so that rounded is a multiple of 2^51; and the remainder
 * fma(a, b, h - rounded), which is exact. The next product of the same column goes on from `rounded`: multiples of 2^51 pile up
 * in h, remainders in a sum of their own.
 *
 * Bounds, with u = 2^50. A tight limb is at most u + 76 in absolute value; products take tight limbs only (and twice one, in
 * squares, where it counts double). A loose one is at most 3.6 u; sums and differences of two are below 8 u = 2^53, so exact.
 * - A column is five such products, at most three in `up` (from C = 3 * 2^102 on) and the rest in `down` (from -C on). So up - C
 *   and down + C stay below 3.01 u^2 < 2^102, up and -down within [2^103, 2^104], all of them multiples of 2^51: differences are
 *   exact, each remainder is at most u (rounding to nearest), and up + down, at most 5.01 u^2, is exact, too.
 * - The sum of a column's remainders is at most 5 u, in column 0 with that of the fold 6 u; with the carry of the column below
 *   (5.01 u^2 / 2^51 < 2.51 u, and 4 of its remainders) at most 7.6 u: exact.
 * - `settle` moves that sum's multiples of 2^51 into `up`; u is left. fe_reduce goes upwards; the top column's last carry is at
 *   most 4, so limb 0 ends at u + 19 * 4: tight. fe_reduce_loose settles first and carries then: u + 2.51 u and a little.
 * - fe_tighten takes limbs below 8 u: carries are at most 4. Tight.
 * - A tight element's value is below 2^254 + 2^206 < p: it is 0 mod p only if it is 0, and that only if all its limbs are 0.
 * Every number is an integer or 0, never subnormal, so additions and multiplications take the same time for all operands. */
#include <immintrin.h>

#include "bytes.h"
#include "fm_kernels.h"
#include "x25519.h"

#ifdef __FAST_MATH__
#error "these products need each rounding where it is written: compile without -ffast-math"
#endif

#define INLINE static inline __attribute__((always_inline))

typedef vf fe[5];

#define CARRY 0x1p-51
#define ROUND 0x1.8p103 /* adding and subtracting it rounds to multiples of 2^51 */

INLINE vf all(double x)
{
    return (vf){0} + x;
}

/* h += a * b, rounded; returns what the rounding left. */
INLINE vf split(vf *h, vf a, vf b)
{
    const vf before = *h;
    *h = fma_vf(a, b, before);
    return fma_vf(a, b, before - *h);
}

/* Multiples of 2^51 in up (from ROUND on) and down (from -ROUND on), remainders in low. */
struct column {
    vf up, down, low;
};

INLINE struct column column_of_5(vf a0, vf b0, vf a1, vf b1, vf a2, vf b2, vf a3, vf b3, vf a4, vf b4)
{
    struct column c = {.up = all(ROUND), .down = all(-ROUND)};
    c.low = split(&c.up, a0, b0);
    c.low += split(&c.down, a1, b1);
    c.low += split(&c.up, a2, b2);
    c.low += split(&c.down, a3, b3);
    c.low += split(&c.up, a4, b4);
    return c;
}

/* For squares: the second and third product have a doubled limb. */
INLINE struct column column_of_3(vf a0, vf a1, vf b0, vf b1, vf c0, vf c1)
{
    struct column c = {.up = all(ROUND), .down = all(-ROUND)};
    c.low = split(&c.up, a0, a1);
    c.low += split(&c.down, b0, b1);
    c.low += split(&c.up, c0, c1);
    return c;
}

/* The limb of a column: what is left of its remainders when their multiples of 2^51 have gone up. */
INLINE vf settle(struct column *c)
{
    const vf before = c->up;
    c->up += c->low;
    return c->low + (before - c->up);
}

INLINE vf above(const struct column *c)
{
    return c->up + c->down;
}

/* Five columns to a tight element; 2^255 = 19. */
INLINE void fe_reduce(fe out, struct column c[5])
{
    c[0].low += split(&c[0].down, all(19 * CARRY), above(&c[4]));
    const vf limb0 = settle(&c[0]);
    for (int k = 1; k < 4; k++) {
        c[k].low = fma_vf(all(CARRY), above(&c[k - 1]), c[k].low);
        out[k] = settle(&c[k]);
    }
    const vf top = fma_vf(all(CARRY), above(&c[3]), c[4].low);
    const vf over = (top + ROUND) - ROUND;
    out[4] = top - over;
    out[0] = fma_vf(all(19 * CARRY), over, limb0);
}

/* Five columns to a loose element: no carry waits for the one below. */
INLINE void fe_reduce_loose(fe out, struct column c[5])
{
    vf left[5];
    left[4] = settle(&c[4]);
    c[0].low += split(&c[0].down, all(19 * CARRY), above(&c[4]));
    for (int k = 0; k < 4; k++)
        left[k] = settle(&c[k]);
    out[0] = left[0];
    for (int k = 1; k < 5; k++)
        out[k] = fma_vf(all(CARRY), above(&c[k - 1]), left[k]);
}

/* An element as a multiplicand whose columns beyond 2^255 fold at once: 19 b[j] = low[j] + 2^51 high[j], low and high tight. */
struct folding {
    fe b;
    vf low[5], next[5]; /* 1 to 4; next[j] = low[j] + high[j-1], next[0] = b[0] + high[4] */
};

INLINE void fold_begin(struct folding *f, const fe b)
{
    vf high[5];
    f->b[0] = b[0];
    for (int j = 1; j < 5; j++) {
        f->b[j] = b[j];
        high[j] = fma_vf(all(19), b[j], all(ROUND)) - ROUND;
        f->low[j] = fma_vf(all(19), b[j], -high[j]);
    }
    for (int j = 2; j < 5; j++)
        f->next[j] = fma_vf(all(CARRY), high[j - 1], f->low[j]);
    f->next[0] = fma_vf(all(CARRY), high[4], b[0]);
}

INLINE void mul_columns(struct column c[5], const fe a, const struct folding *f)
{
    const vf *b = f->b, *low = f->low, *next = f->next;
    c[4] = column_of_5(a[0], b[4], a[1], b[3], a[2], b[2], a[3], b[1], a[4], next[0]);
    c[0] = column_of_5(a[0], b[0], a[1], low[4], a[2], low[3], a[3], low[2], a[4], low[1]);
    c[1] = column_of_5(a[0], b[1], a[1], next[0], a[2], next[4], a[3], next[3], a[4], next[2]);
    c[2] = column_of_5(a[0], b[2], a[1], b[1], a[2], next[0], a[3], next[4], a[4], next[3]);
    c[3] = column_of_5(a[0], b[3], a[1], b[2], a[2], b[1], a[3], next[0], a[4], next[4]);
}

INLINE void square_columns(struct column c[5], const fe a)
{
    const vf twice1 = a[1] + a[1], twice2 = a[2] + a[2], twice3 = a[3] + a[3];
    const vf high3 = fma_vf(all(19), a[3], all(ROUND)) - ROUND, high4 = fma_vf(all(19), a[4], all(ROUND)) - ROUND;
    const vf low3 = fma_vf(all(19), a[3], -high3), low4 = fma_vf(all(19), a[4], -high4);
    const vf next4 = fma_vf(all(CARRY), high3, low4), next0 = fma_vf(all(CARRY), high4, a[0]);
    c[4] = column_of_3(a[2], a[2], a[4], a[0] + next0, twice1, a[3]);
    c[0] = column_of_3(a[0], a[0], twice1, low4, twice2, low3);
    c[1] = column_of_3(a[3], low3, twice1, next0, twice2, next4);
    c[2] = column_of_3(a[1], a[1], twice2, next0, a[3], low4 + next4);
    c[3] = column_of_3(a[4], low4, twice3, next0, twice1, a[2]);
}

INLINE void fe_mul_folding_loose(fe out, const fe a, const struct folding *b)
{
    struct column c[5];
    mul_columns(c, a, b);
    fe_reduce_loose(out, c);
}

INLINE void fe_mul_loose(fe out, const fe a, const fe b)
{
    struct folding f;
    fold_begin(&f, b);
    fe_mul_folding_loose(out, a, &f);
}

INLINE void fe_mul(fe out, const fe a, const fe b)
{
    struct folding f;
    struct column c[5];
    fold_begin(&f, b);
    mul_columns(c, a, &f);
    fe_reduce(out, c);
}

INLINE void fe_square_loose(fe out, const fe a)
{
    struct column c[5];
    square_columns(c, a);
    fe_reduce_loose(out, c);
}

INLINE void fe_square(fe out, const fe a)
{
    struct column c[5];
    square_columns(c, a);
    fe_reduce(out, c);
}

/* Limbs below 2^53 to tight ones. */
INLINE void fe_tighten(fe out, const fe a)
{
    vf over[5];
    for (int k = 0; k < 5; k++)
        over[k] = (a[k] + ROUND) - ROUND;
    out[0] = fma_vf(all(19 * CARRY), over[4], a[0] - over[0]);
    for (int k = 1; k < 5; k++)
        out[k] = fma_vf(all(CARRY), over[k - 1], a[k] - over[k]);
}

INLINE void fe_add(fe out, const fe a, const fe b)
{
    fe sum;
    for (int k = 0; k < 5; k++)
        sum[k] = a[k] + b[k];
    fe_tighten(out, sum);
}

INLINE void fe_sub(fe out, const fe a, const fe b)
{
    fe difference;
    for (int k = 0; k < 5; k++)
        difference[k] = a[k] - b[k];
    fe_tighten(out, difference);
}

/* a + 121665 b. Carries reach 2^16, so limb 0 ends at u + 2^21 and the others at u + 2^17: still tight enough for one operand. */
INLINE void fe_add_curve(fe out, const fe a, const fe b)
{
    vf over[5], left[5];
    for (int k = 0; k < 5; k++) {
        const vf high = fma_vf(all(121665), b[k], all(ROUND));
        const vf low = a[k] + fma_vf(all(121665), b[k], ROUND - high);
        const vf rounded = high + low;
        left[k] = low + (high - rounded);
        over[k] = rounded - ROUND;
    }
    out[0] = fma_vf(all(19 * CARRY), over[4], left[0]);
    for (int k = 1; k < 5; k++)
        out[k] = fma_vf(all(CARRY), over[k - 1], left[k]);
}

/* One lane of a vector, as memory. */
union limb {
    vf v;
    double lane[LANES];
    int64_t bits[LANES];
};

/* The top bit is ignored; values from p on are taken as they are, which is mod p. */
static void load_point(fe out, const uint8_t *const point[LANES])
{
    const uint64_t mask = ((uint64_t)1 << 51) - 1;
    union limb limbs[5];
    for (int i = 0; i < LANES; i++) {
        const uint8_t *in = point[i];
        const uint64_t w0 = fm_load64(in), w1 = fm_load64(in + 8), w2 = fm_load64(in + 16), w3 = fm_load64(in + 24);
        limbs[0].lane[i] = (double)(int64_t)(w0 & mask);
        limbs[1].lane[i] = (double)(int64_t)((w0 >> 51 | w1 << 13) & mask);
        limbs[2].lane[i] = (double)(int64_t)((w1 >> 38 | w2 << 26) & mask);
        limbs[3].lane[i] = (double)(int64_t)((w2 >> 25 | w3 << 39) & mask);
        limbs[4].lane[i] = (double)(int64_t)(w3 >> 12 & mask);
    }
    for (int k = 0; k < 5; k++)
        out[k] = limbs[k].v;
    fe_tighten(out, out);
}

/* Limbs + those of p: integers in 0..2^52, of a value in 0..2p. */
static void to_integers(uint64_t out[LANES][5], const fe a)
{
    for (int k = 0; k < 5; k++) {
        const union limb limb = {.v = a[k] + 0x1.8p52}; /* the double's low bits are now the integer, from 2^51 on */
        for (int i = 0; i < LANES; i++)
            out[i][k] = (uint64_t)limb.bits[i] - 0x4338000000000000 + ((uint64_t)1 << 51) - (k ? 1 : 19);
    }
}

/* The canonical encoding. */
static void store_lane(uint8_t out[32], uint64_t t[5])
{
    const uint64_t mask = ((uint64_t)1 << 51) - 1;
    uint64_t carry = 19;
    for (int k = 0; k < 5; k++) /* t + 19 reaches 2^255 exactly where t >= p */
        carry = (t[k] + carry) >> 51;
    carry *= 19;
    for (int k = 0; k < 5; k++) {
        t[k] += carry;
        carry = t[k] >> 51; /* the last one, 2^255, is dropped */
        t[k] &= mask;
    }
    fm_store64(out, t[0] | t[1] << 51);
    fm_store64(out + 8, t[1] >> 13 | t[2] << 38);
    fm_store64(out + 16, t[2] >> 26 | t[3] << 25);
    fm_store64(out + 24, t[3] >> 39 | t[4] << 12);
}

static void store_points(uint8_t *const *out, const fe a, size_t n)
{
    uint64_t limbs[LANES][5];
    to_integers(limbs, a);
    for (size_t i = 0; i < n; i++)
        store_lane(out[i], limbs[i]);
}

/* The element of the lane whose number differs in bit i. */
INLINE void fe_partner(fe out, const fe a, int i)
{
    for (int k = 0; k < 5; k++)
        out[k] = partner_vf(a[k], i);
}

/* 1/a in each lane: the lanes' product is inverted once, in integers; a vector would only wait for itself. No lane may be 0. */
static void fe_invert(fe out, const fe a)
{
    fe product[LEVELS + 1], partner; /* product[i]: of the 2^i lanes around */
    uint64_t limbs[LANES][5];
    uint8_t bytes[32];
    const uint8_t *inverse[LANES];

    memcpy(product[0], a, sizeof(fe));
    for (int i = 0; i < LEVELS; i++) {
        fe_partner(partner, product[i], i);
        fe_mul(product[i + 1], product[i], partner);
    }
    to_integers(limbs, product[LEVELS]);
    store_lane(bytes, limbs[0]);
    fm_x25519_invert(bytes, bytes);
    for (int i = 0; i < LANES; i++)
        inverse[i] = bytes;
    load_point(out, inverse);
    for (int i = LEVELS; i--;) {
        fe_partner(partner, product[i], i);
        fe_mul(out, out, partner);
    }
}

struct ladder {
    struct folding x1;
    fe x2, z2, x3, z3;          /* (x2:z2) was doubled last, (x3:z3) is its neighbour; loose */
    fe a, b, da, cb;            /* within a step; letters of RFC 7748 section 5 */
    uint64_t changes[4][LANES]; /* bit i: bits i and i + 1 of the scalar differ */
};

static void load_scalar(struct ladder *s, const uint8_t *const scalar[LANES])
{
    for (int i = 0; i < LANES; i++) {
        uint64_t k[5] = {0};
        for (int w = 0; w < 4; w++)
            k[w] = fm_load64(scalar[i] + 8 * w);
        k[0] &= ~(uint64_t)7;
        k[3] = (k[3] | (uint64_t)1 << 62) & ~((uint64_t)1 << 63);
        for (int w = 0; w < 4; w++)
            s->changes[w][i] = k[w] ^ (k[w] >> 1 | k[w + 1] << 63);
    }
}

/* The step of RFC 7748 section 5, in three parts. The sum of the two points is the same for both orders of them, so only the
 * one to double is selected: the other where the bit differs from the last one. */
INLINE void step_begin(struct ladder *s, lanes change)
{
    fe a, b, c, d;
    fe_add(a, s->x2, s->z2);
    fe_sub(b, s->x2, s->z2);
    fe_add(c, s->x3, s->z3);
    fe_sub(d, s->x3, s->z3);
    fe_mul_loose(s->da, d, a);
    fe_mul_loose(s->cb, c, b);
    for (int k = 0; k < 5; k++) {
        s->a[k] = select_vf(change, a[k], c[k]);
        s->b[k] = select_vf(change, b[k], d[k]);
    }
}

INLINE void step_squares(struct ladder *s)
{
    fe sum, difference;
    fe_square(s->a, s->a);
    fe_square(s->b, s->b);
    fe_add(sum, s->da, s->cb);
    fe_sub(difference, s->da, s->cb);
    fe_square(s->da, difference);
    fe_square_loose(s->x3, sum);
}

/* (x:z) from the squares of the sum and the difference of what is doubled. */
INLINE void doubled(fe x, fe z, const fe aa, const fe bb)
{
    fe e, c;
    fe_sub(e, aa, bb);
    fe_add_curve(c, aa, e);
    fe_mul_loose(x, aa, bb);
    fe_mul_loose(z, e, c);
}

INLINE void step_end(struct ladder *s)
{
    fe_mul_folding_loose(s->z3, s->da, &s->x1);
    doubled(s->x2, s->z2, s->a, s->b);
}

static void double_point(fe x, fe z)
{
    fe a, b;
    fe_add(a, x, z);
    fe_sub(b, x, z);
    fe_square(a, a);
    fe_square(b, b);
    doubled(x, z, a, b);
}

static void ladder_begin(struct ladder *s, const uint8_t *const scalar[LANES], const uint8_t *const point[LANES])
{
    fe u;
    load_scalar(s, scalar);
    load_point(u, point);
    fold_begin(&s->x1, u);
    for (int k = 0; k < 5; k++) {
        s->x2[k] = s->x3[k] = u[k];
        s->z2[k] = s->z3[k] = all(k == 0);
    }
    double_point(s->x2, s->z2);
}

/* x/z where z = 0 becomes 0/1, so that a hostile point spoils no inversion but its own. */
static void settle_zero(fe x, fe z)
{
    const lanes zero = is_zero_vf(z);
    for (int k = 0; k < 5; k++) {
        x[k] = select_vf(zero, x[k], all(0));
        z[k] = select_vf(zero, z[k], all(k == 0));
    }
}

/* Bits 2 to 0 of a clamped scalar are 0: only doublings are left. */
static void ladder_end(fe x, fe z, const struct ladder *s)
{
    const lanes change = bit_of(s->changes[0], 2);
    for (int k = 0; k < 5; k++) {
        x[k] = select_vf(change, s->x2[k], s->x3[k]);
        z[k] = select_vf(change, s->z2[k], s->z3[k]);
    }
    for (int i = 0; i < 3; i++)
        double_point(x, z);
    fe_tighten(x, x);
    fe_tighten(z, z);
    settle_zero(x, z);
}

/* One group, or two in turns: each part of a step then has a part of the other group to run beside it. */
static void ladders(struct ladder *s, size_t groups)
{
    for (int bit = 253; bit >= 3; bit--) { /* bit 254 is 1: ladder_begin */
        for (size_t g = 0; g < groups; g++)
            step_begin(s + g, bit_of(s[g].changes[bit >> 6], bit & 63));
        for (size_t g = 0; g < groups; g++)
            step_squares(s + g);
        for (size_t g = 0; g < groups; g++)
            step_end(s + g);
    }
}

enum { GROUPS = 256 / LANES }; /* at most so many share an inversion */

struct batch {
    fe x[GROUPS], z[GROUPS], product[GROUPS]; /* product: of z up to here */
    struct ladder pair[2];
};

/* Starts the ladder of the group of lanes from `first` on; the last lane fills its group. */
static void batch_begin(struct ladder *s, const uint8_t *const *scalar, const uint8_t *const *point, size_t first, size_t n)
{
    const uint8_t *scalars[LANES], *points[LANES];
    for (size_t i = 0; i < LANES; i++) {
        const size_t lane = first + i < n ? first + i : n - 1;
        scalars[i] = scalar[lane];
        points[i] = point[lane];
    }
    ladder_begin(s, scalars, points);
}

static void batch_ladders(struct batch *s, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    for (size_t g = 0; g * LANES < n; g += 2) {
        const size_t groups = (g + 1) * LANES < n ? 2 : 1;
        for (size_t i = 0; i < groups; i++)
            batch_begin(&s->pair[i], scalar, point, (g + i) * LANES, n);
        ladders(s->pair, groups);
        for (size_t i = 0; i < groups; i++)
            ladder_end(s->x[g + i], s->z[g + i], &s->pair[i]);
    }
}

/* x/z of all groups, by one inversion (Montgomery's trick). */
static void batch_quotients(struct batch *s, size_t groups)
{
    fe inverse, before;
    memcpy(s->product[0], s->z[0], sizeof s->z[0]);
    for (size_t g = 1; g < groups; g++)
        fe_mul(s->product[g], s->product[g - 1], s->z[g]);
    fe_invert(inverse, s->product[groups - 1]);
    for (size_t g = groups; --g;) {
        fe_mul(before, inverse, s->product[g - 1]);
        fe_mul(s->x[g], s->x[g], before);
        fe_mul(inverse, inverse, s->z[g]);
    }
    fe_mul(s->x[0], s->x[0], inverse);
}

/* Up to GROUPS * LANES points; a function of its own, so that fm_burn_stack reaches what it leaves below its caller. */
static __attribute__((noinline)) void batch_run(struct batch *s, uint8_t *const *out, const uint8_t *const *scalar,
                                                const uint8_t *const *point, size_t n)
{
    batch_ladders(s, scalar, point, n);
    batch_quotients(s, (n + LANES - 1) / LANES);
    for (size_t first = 0; first < n; first += LANES)
        store_points(out + first, s->x[first / LANES], n - first < LANES ? n - first : LANES);
}

/* In a rounding mode of its own, whatever the thread's: to nearest, no traps. The thread's mode and flags are put back. */
static inline void x25519_batches(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    const unsigned int before = _mm_getcsr();
    struct batch s;
    _mm_setcsr(0x1f80); /* the state at program start */
    while (n) {
        const size_t some = n < GROUPS * LANES ? n : GROUPS * LANES;
        batch_run(&s, out, scalar, point, some);
        out += some;
        scalar += some;
        point += some;
        n -= some;
    }
    _mm_setcsr(before);
    fm_wipe(&s, sizeof s);
    fm_burn_stack();
}
