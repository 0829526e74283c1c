/* X25519 (RFC 7748) in radix 2^51 with 128-bit products: the Montgomery ladder, one lane after the other; and the subgroup check.
 *
 * Constant time: the ladder always takes 255 steps, swaps by mask, and no branch or index depends on a scalar, a point or a
 * product. Multiplication of 64-bit words is constant time on the machines we know.
 *
 * A field element is five limbs of 51 bits. Products leave limbs below 2^51 + 2^18; a sum or difference of two products stays
 * below 2^53; products take limbs up to 2^54 (77 * 2^108 < 2^115). So no sum needs a carry, and only products are subtracted. */
#include "portable.h"

#include "bytes.h"
#include "frame.h"

typedef uint64_t fe[5];
typedef unsigned __int128 u128;

#define MASK51 (((uint64_t)1 << 51) - 1)

static inline void fe_add(fe out, const fe a, const fe b)
{
    for (int i = 0; i < 5; i++)
        out[i] = a[i] + b[i];
}

/* a - b + 2p; b is a product. */
static inline void fe_sub(fe out, const fe a, const fe b)
{
    out[0] = a[0] + 0xfffffffffffda - b[0];
    for (int i = 1; i < 5; i++)
        out[i] = a[i] + 0xffffffffffffe - b[i];
}

/* Five double-width limbs down to five of 51 bits; 2^255 = 19. All limbs hand on their overflow at once, twice: a chain of
 * carries would be most of the time of an inversion. */
static inline void fe_carry(fe out, u128 r0, u128 r1, u128 r2, u128 r3, u128 r4)
{
    const uint64_t t0 = ((uint64_t)r0 & MASK51) + 19 * (uint64_t)(r4 >> 51);
    const uint64_t t1 = ((uint64_t)r1 & MASK51) + (uint64_t)(r0 >> 51);
    const uint64_t t2 = ((uint64_t)r2 & MASK51) + (uint64_t)(r1 >> 51);
    const uint64_t t3 = ((uint64_t)r3 & MASK51) + (uint64_t)(r2 >> 51);
    const uint64_t t4 = ((uint64_t)r4 & MASK51) + (uint64_t)(r3 >> 51);
    out[0] = (t0 & MASK51) + 19 * (t4 >> 51);
    out[1] = (t1 & MASK51) + (t0 >> 51);
    out[2] = (t2 & MASK51) + (t1 >> 51);
    out[3] = (t3 & MASK51) + (t2 >> 51);
    out[4] = (t4 & MASK51) + (t3 >> 51);
}

static inline void fe_mul(fe out, const fe a, const fe b)
{
    const uint64_t a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3], a4 = a[4];
    const uint64_t b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3], b4 = b[4];
    const uint64_t b1_19 = 19 * b1, b2_19 = 19 * b2, b3_19 = 19 * b3, b4_19 = 19 * b4;

    fe_carry(out, (u128)a0 * b0 + (u128)a1 * b4_19 + (u128)a2 * b3_19 + (u128)a3 * b2_19 + (u128)a4 * b1_19,
             (u128)a0 * b1 + (u128)a1 * b0 + (u128)a2 * b4_19 + (u128)a3 * b3_19 + (u128)a4 * b2_19,
             (u128)a0 * b2 + (u128)a1 * b1 + (u128)a2 * b0 + (u128)a3 * b4_19 + (u128)a4 * b3_19,
             (u128)a0 * b3 + (u128)a1 * b2 + (u128)a2 * b1 + (u128)a3 * b0 + (u128)a4 * b4_19,
             (u128)a0 * b4 + (u128)a1 * b3 + (u128)a2 * b2 + (u128)a3 * b1 + (u128)a4 * b0);
}

static inline void fe_square(fe out, const fe a)
{
    const uint64_t a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3], a4 = a[4];
    const uint64_t a0_2 = 2 * a0, a1_2 = 2 * a1, a2_2 = 2 * a2, a3_19 = 19 * a3, a4_19 = 19 * a4;

    fe_carry(out, (u128)a0 * a0 + (u128)a1_2 * a4_19 + (u128)a2_2 * a3_19,
             (u128)a0_2 * a1 + (u128)a2_2 * a4_19 + (u128)a3 * a3_19,
             (u128)a0_2 * a2 + (u128)a1 * a1 + (u128)(2 * a3) * a4_19, (u128)a0_2 * a3 + (u128)a1_2 * a2 + (u128)a4 * a4_19,
             (u128)a0_2 * a4 + (u128)a1_2 * a3 + (u128)a2 * a2);
}

static inline void fe_mul_small(fe out, const fe a, uint64_t b)
{
    fe_carry(out, (u128)a[0] * b, (u128)a[1] * b, (u128)a[2] * b, (u128)a[3] * b, (u128)a[4] * b);
}

static void fe_square_times(fe out, const fe a, int times)
{
    fe_square(out, a);
    while (--times)
        fe_square(out, out);
}

/* a^(p - 2) = 1/a, and 0 for 0. The usual chain of 254 squarings and 11 products. */
static void fe_invert(fe out, const fe a)
{
    fe a2, a9, a11, t, x5, x10, x20, x50; /* xN = a^(2^N - 1) */

    fe_square(a2, a);
    fe_square_times(t, a2, 2);
    fe_mul(a9, t, a);
    fe_mul(a11, a9, a2);
    fe_square(t, a11);
    fe_mul(x5, t, a9);
    fe_square_times(t, x5, 5);
    fe_mul(x10, t, x5);
    fe_square_times(t, x10, 10);
    fe_mul(x20, t, x10);
    fe_square_times(t, x20, 20);
    fe_mul(t, t, x20);
    fe_square_times(t, t, 10);
    fe_mul(x50, t, x10);
    fe_square_times(t, x50, 50);
    fe_mul(x20, t, x50); /* now x100 */
    fe_square_times(t, x20, 100);
    fe_mul(t, t, x20);
    fe_square_times(t, t, 50);
    fe_mul(t, t, x50);
    fe_square_times(t, t, 5);
    fe_mul(out, t, a11);
}

/* The top bit is ignored; values from p on are taken as they are, which is mod p. */
static void fe_load(fe out, const uint8_t in[32])
{
    const uint64_t w0 = fm_load64(in), w1 = fm_load64(in + 8), w2 = fm_load64(in + 16), w3 = fm_load64(in + 24);
    out[0] = w0 & MASK51;
    out[1] = (w0 >> 51 | w1 << 13) & MASK51;
    out[2] = (w1 >> 38 | w2 << 26) & MASK51;
    out[3] = (w2 >> 25 | w3 << 39) & MASK51;
    out[4] = w3 >> 12 & MASK51;
}

/* The canonical encoding of a product. */
static void fe_store(uint8_t out[32], const fe a)
{
    uint64_t t0 = a[0], t1 = a[1], t2 = a[2], t3 = a[3], t4 = a[4];
    /* a < 2p, so a + 19 reaches 2^255 exactly where a >= p; q is that carry */
    uint64_t q = (t0 + 19) >> 51;
    q = (t1 + q) >> 51;
    q = (t2 + q) >> 51;
    q = (t3 + q) >> 51;
    q = (t4 + q) >> 51;
    t0 += 19 * q;
    t1 += t0 >> 51;
    t2 += t1 >> 51;
    t3 += t2 >> 51;
    t4 += t3 >> 51;
    t0 &= MASK51;
    t1 &= MASK51;
    t2 &= MASK51;
    t3 &= MASK51;
    t4 &= MASK51; /* drops 2^255 */
    fm_store64(out, t0 | t1 << 51);
    fm_store64(out + 8, t1 >> 13 | t2 << 38);
    fm_store64(out + 16, t2 >> 26 | t3 << 25);
    fm_store64(out + 24, t3 >> 39 | t4 << 12);
}

/* Exchanges a and b where swap is 1. */
static inline void fe_swap(fe a, fe b, uint64_t swap)
{
    const uint64_t mask = fm_opaque(0 - swap);
    for (int i = 0; i < 5; i++) {
        const uint64_t t = mask & (a[i] ^ b[i]);
        a[i] ^= t;
        b[i] ^= t;
    }
}

/* One step of RFC 7748 section 5: (x2:z2) = 2 (x2:z2), (x3:z3) = (x2:z2) + (x3:z3), whose difference is x1. */
static inline void ladder_step(const fe x1, fe x2, fe z2, fe x3, fe z3)
{
    fe a, aa, b, bb, e, c, d, da, cb;
    fe_add(a, x2, z2);
    fe_sub(b, x2, z2);
    fe_add(c, x3, z3);
    fe_sub(d, x3, z3);
    fe_mul(da, d, a);
    fe_mul(cb, c, b);
    fe_square(aa, a);
    fe_square(bb, b);
    fe_add(c, da, cb);
    fe_sub(d, da, cb);
    fe_square(x3, c);
    fe_square(d, d);
    fe_mul(z3, x1, d);
    fe_mul(x2, aa, bb);
    fe_sub(e, aa, bb);
    fe_mul_small(c, e, 121665);
    fe_add(c, c, aa);
    fe_mul(z2, e, c);
}

static FM_FRAME void x25519(uint8_t out[32], const uint8_t scalar[32], const uint8_t point[32])
{
    struct {
        uint8_t k[32];
        fe x1, x2, z2, x3, z3;
    } s = {.x2 = {1}, .z3 = {1}};
    uint64_t swap = 0;

    memcpy(s.k, scalar, 32);
    s.k[0] &= 248;
    s.k[31] = (uint8_t)((s.k[31] & 127) | 64);
    fe_load(s.x1, point);
    memcpy(s.x3, s.x1, sizeof s.x3);
    for (int bit = 254; bit >= 0; bit--) {
        const uint64_t now = s.k[bit >> 3] >> (bit & 7) & 1;
        fe_swap(s.x2, s.x3, swap ^ now);
        fe_swap(s.z2, s.z3, swap ^ now);
        swap = now;
        ladder_step(s.x1, s.x2, s.z2, s.x3, s.z3);
    }
    /* the scalar's bit 0 is clamped to 0, so nothing is left swapped */
    fe_invert(s.z2, s.z2);
    fe_mul(s.x2, s.x2, s.z2);
    fe_store(out, s.x2);
}

void fm_x25519_portable(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x25519(out[i], scalar[i], point[i]);
    frame_burn();
}

void fm_x25519_invert(uint8_t out[32], const uint8_t in[32])
{
    fe a;
    fe_load(a, in);
    fe_invert(a, a);
    fe_store(out, a);
    fm_wipe(a, sizeof a);
}

/* The field as subgroup.h wants it: one lane. */
enum { LANES = 1 };
#define INLINE static inline

#include "subgroup_element.h"

INLINE el el_load(const uint8_t *const point[LANES])
{
    el out;
    fe_load(out.limbs, point[0]);
    return out;
}

INLINE el el_select(unsigned bits, el a, el b)
{
    return bits ? b : a;
}

INLINE unsigned el_zeros(el a)
{
    static const uint8_t zero[32];
    uint8_t bytes[32];
    fe_mul_small(a.limbs, a.limbs, 1); /* fe_store takes products */
    fe_store(bytes, a.limbs);
    return memcmp(bytes, zero, sizeof zero) == 0;
}

#include "subgroup.h"

void fm_subgroup_portable(uint8_t *in, const uint8_t *const *point, size_t n)
{
    subgroup_all(in, point, n);
}
