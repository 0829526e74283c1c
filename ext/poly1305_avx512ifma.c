/* Poly1305, eight rows a pass, in radix 2^44 (limbs of 44, 44 and 42 bits) by 52-bit multiply-add (AVX-512 IFMA). */
#include "vectors.h"

#include "lanes_avx512f.h"

enum { LIMBS = 3, PRODUCTS = 6 };

struct power {
    V r[LIMBS];
    V wrapped[LIMBS]; /* 20 r[i]: 2^132 = 4 * 5; the first is not used */
};

#define MASK44 v_all(((uint64_t)1 << 44) - 1)
#define MASK42 v_all(((uint64_t)1 << 42) - 1)

static inline void block_split(V limb[LIMBS], V low, V high, V top)
{
    limb[0] = low & MASK44;
    limb[1] = (low >> 44 | high << 20) & MASK44;
    limb[2] = high >> 24 | top << 40;
}

static inline void power_set(struct power *p, const V limb[LIMBS])
{
    for (int i = 0; i < LIMBS; i++) {
        p->r[i] = limb[i];
        p->wrapped[i] = (limb[i] << 4) + (limb[i] << 2);
    }
}

/* The lower 52 bits of a product, and those above. */
static inline void multiply_add(V *low, V *high, V a, V b)
{
    *low = (V)_mm512_madd52lo_epu64((__m512i)*low, (__m512i)a, (__m512i)b);
    *high = (V)_mm512_madd52hi_epu64((__m512i)*high, (__m512i)a, (__m512i)b);
}

/* Sums 0 to 2 are lower parts, 3 to 5 upper ones. Twelve products of less than 2^52 each: below 2^56. */
static inline void products_add(V d[PRODUCTS], const V a[LIMBS], const struct power *p)
{
    multiply_add(&d[0], &d[3], a[0], p->r[0]);
    multiply_add(&d[1], &d[4], a[0], p->r[1]);
    multiply_add(&d[2], &d[5], a[0], p->r[2]);
    multiply_add(&d[0], &d[3], a[1], p->wrapped[2]);
    multiply_add(&d[1], &d[4], a[1], p->r[0]);
    multiply_add(&d[2], &d[5], a[1], p->r[1]);
    multiply_add(&d[0], &d[3], a[2], p->wrapped[1]);
    multiply_add(&d[1], &d[4], a[2], p->wrapped[2]);
    multiply_add(&d[2], &d[5], a[2], p->r[0]);
}

/* An upper part weighs 2^52 = 2^8 2^44; the last one's wraps, 2^130 = 5. Limbs end below 2^45, so 20 times one has 52 bits. */
static inline void products_carry(V limb[LIMBS], const V d[PRODUCTS])
{
    const V first = d[1] + (d[0] >> 44) + (d[3] << 8);
    const V second = d[2] + (first >> 44) + (d[4] << 8);
    const V over = (second >> 42) + (d[5] << 10);
    const V start = (d[0] & MASK44) + over + (over << 2);
    limb[0] = start & MASK44;
    limb[1] = (first & MASK44) + (start >> 44);
    limb[2] = second & MASK42;
}

static inline void whole(V *low, V *high, V h[LIMBS])
{
    for (int pass = 0; pass < 2; pass++) {
        h[1] += h[0] >> 44;
        h[0] &= MASK44;
        h[2] += h[1] >> 44;
        h[1] &= MASK44;
        const V over = h[2] >> 42;
        h[0] += over + (over << 2);
        h[2] &= MASK42;
    }
    h[1] += h[0] >> 44;
    h[0] &= MASK44;

    const V plus0 = h[0] + v_all(5), plus1 = h[1] + (plus0 >> 44), plus2 = h[2] + (plus1 >> 44);
    const V reached = v_all(0) - (plus2 >> 42); /* all ones where h + 5 reached 2^130 */
    h[0] = (h[0] & ~reached) | (plus0 & MASK44 & reached);
    h[1] = (h[1] & ~reached) | (plus1 & MASK44 & reached);
    h[2] = (h[2] & ~reached) | (plus2 & MASK42 & reached);
    *low = h[0] | h[1] << 44;
    *high = h[1] >> 20 | h[2] << 24;
}

#include "poly1305_lanes.h"

void fm_poly1305_avx512ifma(uint8_t *const *tag, const uint8_t *const *key, const uint8_t *const *message, size_t size,
                            size_t n)
{
    poly1305(tag, key, message, size, n);
}
