/* Whether u-coordinates are of points in the prime-order subgroup of Curve25519, LANES at a time; the twin,
 * fastmix/reference/subgroup.py, says why. Included once by each file that has the field: el (an element), el_mul, el_square,
 * el_add, el_sub, el_load (of LANES pointers to 32 bytes), el_select (b where a lane's bit is set, else a), el_zeros (the lanes
 * that are 0, as bits). kx_public is public, so nothing here is wiped; the work is the same for all points all the same. */
#include <stddef.h>
#include <stdint.h>

enum { CHAINS = 4, GROUPS_AT_ONCE = 4 };

static const uint8_t ONE_BYTES[32] = {1};
static const uint8_t CURVE_A_BYTES[32] = {0x06, 0x6d, 0x07};
static const uint8_t SLOPE_BYTES[32] = {
    0x13, 0x44, 0x88, 0x9c, 0xef, 0x48, 0xa2, 0xe9, 0x63, 0x93, 0x4a, 0x28, 0xc7, 0x11, 0x5a, 0x63,
    0xef, 0xa6, 0xf4, 0xd7, 0x7a, 0xa7, 0x1f, 0xc2, 0xaf, 0xc2, 0xa9, 0xf9, 0x97, 0xf4, 0xe4, 0x6b,
};
static const uint8_t SQRT_MINUS_1_BYTES[32] = {
    0xb0, 0xa0, 0x0e, 0x4a, 0x27, 0x1b, 0xee, 0xc4, 0x78, 0xe4, 0x2f, 0xad, 0x06, 0x18, 0x43, 0x2f,
    0xa7, 0xd7, 0xfb, 0x3d, 0x99, 0x00, 0x4d, 0x2b, 0x0b, 0xdf, 0xc1, 0x4f, 0x80, 0x24, 0x83, 0x2b,
};

struct numbers { /* in all lanes */
    el one, curve_a, slope, sqrt_minus_1;
};

static el el_all(const uint8_t number[32])
{
    const uint8_t *rows[LANES];
    for (int i = 0; i < LANES; i++)
        rows[i] = number;
    return el_load(rows);
}

static struct numbers subgroup_numbers(void)
{
    return (struct numbers){el_all(ONE_BYTES), el_all(CURVE_A_BYTES), el_all(SLOPE_BYTES), el_all(SQRT_MINUS_1_BYTES)};
}

/* x = x^(2^times): n elements in turns, where each fills the others' waits. n is a constant where this is inlined. */
INLINE void el_square_times(el *x, int times, int n)
{
    while (times--) {
        _Pragma("GCC unroll 4") for (int i = 0; i < n; i++)
            x[i] = el_square(x[i]);
    }
}

/* to = x^(2^times) y */
INLINE void el_shift_mul(el *to, const el *x, int times, const el *y, int n)
{
    el t[CHAINS];
    for (int i = 0; i < n; i++)
        t[i] = x[i];
    el_square_times(t, times, n);
    for (int i = 0; i < n; i++)
        to[i] = el_mul(t[i], y[i]);
}

/* z^((p - 5) / 8) = z^(2^252 - 3): 251 squarings and 11 products. */
INLINE void el_power_of(el *out, const el *z, int n)
{
    el z2[CHAINS], x[CHAINS], y[CHAINS], x50[CHAINS]; /* x and y: z^(2^N - 1), N in the comments */
    for (int i = 0; i < n; i++)
        z2[i] = el_square(z[i]);
    el_shift_mul(x, z2, 2, z, n); /* z^9 */
    for (int i = 0; i < n; i++)
        y[i] = el_mul(x[i], z2[i]);   /* z^11 */
    el_shift_mul(x, y, 1, x, n);      /* 5 */
    el_shift_mul(x, x, 5, x, n);      /* 10 */
    el_shift_mul(y, x, 10, x, n);     /* 20 */
    el_shift_mul(y, y, 20, y, n);     /* 40 */
    el_shift_mul(x50, y, 10, x, n);   /* 50 */
    el_shift_mul(y, x50, 50, x50, n); /* 100 */
    el_shift_mul(y, y, 100, y, n);    /* 200 */
    el_shift_mul(y, y, 50, x50, n);   /* 250 */
    el_shift_mul(out, y, 2, z, n);
}

/* The same of n elements, CHAINS at a time and the rest at once. */
static void el_powers(el *out, const el *z, int n)
{
    for (; n >= CHAINS; n -= CHAINS, out += CHAINS, z += CHAINS)
        el_power_of(out, z, CHAINS);
    for (; n > 1; n -= 2, out += 2, z += 2)
        el_power_of(out, z, 2);
    if (n)
        el_power_of(out, z, 1);
}

/* A root where z has one: *has gets those lanes. power is z^((p - 5) / 8), so that z power^2 is z^((p - 1) / 4): 1 or -1 then. */
static inline el el_root(const struct numbers *c, el z, el power, unsigned *has)
{
    const el root = el_mul(z, power), fourth = el_mul(root, power);
    const unsigned minus = el_zeros(el_add(fourth, c->one));
    *has &= minus | el_zeros(el_sub(fourth, c->one));
    return el_select(minus, root, el_mul(root, c->sqrt_minus_1));
}

/* What must be a fourth power. */
static inline el el_pairing(const struct numbers *c, el u, el s, el r)
{
    const el sum = el_add(u, r);
    const el tangent = el_sub(el_add(sum, c->one), el_mul(s, c->slope)), vertical = el_sub(sum, c->one);
    const el half = el_square(el_mul(tangent, s));
    return el_mul(vertical, el_add(half, half));
}

/* The lanes whose pairing is 1. */
static inline unsigned el_fourth_powers(const struct numbers *c, el pairing, el power)
{
    const el fourth = el_mul(el_square(power), pairing);
    return el_zeros(el_sub(fourth, c->one));
}

/* Up to GROUPS_AT_ONCE groups; lanes behind the last repeat it. */
static void subgroup_some(const struct numbers *c, uint8_t *in, const uint8_t *const *point, size_t n)
{
    const int groups = (int)((n + LANES - 1) / LANES);
    const uint8_t *rows[LANES];
    unsigned may[GROUPS_AT_ONCE];
    el base[2 * GROUPS_AT_ONCE], power[2 * GROUPS_AT_ONCE];
    for (int g = 0; g < groups; g++) {
        for (size_t i = 0; i < LANES; i++)
            rows[i] = point[g * LANES + i < n ? g * LANES + i : n - 1];
        base[2 * g] = el_load(rows);
        base[2 * g + 1] = el_add(el_mul(base[2 * g], el_add(base[2 * g], c->curve_a)), c->one);
    }
    el_powers(power, base, 2 * groups);
    for (int g = 0; g < groups; g++) {
        may[g] = ((unsigned)1 << LANES) - 1;
        const el s = el_root(c, base[2 * g], power[2 * g], &may[g]);
        const el r = el_root(c, base[2 * g + 1], power[2 * g + 1], &may[g]);
        base[g] = el_pairing(c, base[2 * g], s, r);
    }
    el_powers(power, base, groups);
    for (int g = 0; g < groups; g++)
        may[g] &= el_fourth_powers(c, base[g], power[g]);
    for (size_t i = 0; i < n; i++)
        in[i] = may[i / LANES] >> i % LANES & 1;
}

static inline void subgroup_all(uint8_t *in, const uint8_t *const *point, size_t n)
{
    enum { SOME = LANES * GROUPS_AT_ONCE };
    const struct numbers c = subgroup_numbers();
    for (size_t first = 0; first < n; first += SOME)
        subgroup_some(&c, in + first, point + first, n - first < SOME ? n - first : SOME);
}
