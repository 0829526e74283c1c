/* Arithmetic modulo 2^130 - 5 in radix 2^26, five limbs, by products of 32-bit halves (Goll and Gueron 2015). Included after a
 * lanes_ header. Private to ext/. */
enum { LIMBS = 5, PRODUCTS = 5 };

struct power {
    V r[LIMBS];
    V wrapped[LIMBS]; /* 5 r[i], for what passes 2^130; the first is not used */
};

#define MASK26 v_all(((uint64_t)1 << 26) - 1)

static inline void block_split(V limb[LIMBS], V low, V high, V top)
{
    limb[0] = low & MASK26;
    limb[1] = (low >> 26) & MASK26;
    limb[2] = (low >> 52 | high << 12) & MASK26;
    limb[3] = (high >> 14) & MASK26;
    limb[4] = high >> 40 | top << 24;
}

static inline void power_set(struct power *p, const V limb[LIMBS])
{
    for (int i = 0; i < LIMBS; i++) {
        p->r[i] = limb[i];
        p->wrapped[i] = limb[i] + (limb[i] << 2);
    }
}

/* Twenty products of less than 2^28 by 2^29.5 each: below 2^62. */
static inline void products_add(V d[PRODUCTS], const V a[LIMBS], const struct power *p)
{
    for (int i = 0; i < LIMBS; i++)
        for (int j = 0; j < LIMBS; j++)
            d[(i + j) % LIMBS] += v_multiply32(a[i], i + j < LIMBS ? p->r[j] : p->wrapped[j]);
}

/* Two chains of carries side by side; limbs end below 2^26 and a little. */
static inline void products_carry(V limb[LIMBS], const V d[PRODUCTS])
{
    V h0 = d[0], h1 = d[1], h2 = d[2], h3 = d[3], h4 = d[4], over;
    h1 += h0 >> 26; h0 &= MASK26;
    h4 += h3 >> 26; h3 &= MASK26;
    h2 += h1 >> 26; h1 &= MASK26;
    over = h4 >> 26; h4 &= MASK26;
    h0 += over + (over << 2);
    h3 += h2 >> 26; h2 &= MASK26;
    h1 += h0 >> 26; h0 &= MASK26;
    h4 += h3 >> 26; h3 &= MASK26;
    limb[0] = h0;
    limb[1] = h1;
    limb[2] = h2;
    limb[3] = h3;
    limb[4] = h4;
}

static inline void carry_once(V h[LIMBS])
{
    for (int i = 0; i < 4; i++) {
        h[i + 1] += h[i] >> 26;
        h[i] &= MASK26;
    }
}

static inline void whole(V *low, V *high, V h[LIMBS])
{
    V plus[LIMBS];
    for (int pass = 0; pass < 2; pass++) {
        carry_once(h);
        const V over = h[4] >> 26;
        h[0] += over + (over << 2);
        h[4] &= MASK26;
    }
    carry_once(h);
    for (int i = 0; i < LIMBS; i++)
        plus[i] = h[i] + (i == 0 ? v_all(5) : v_all(0));
    carry_once(plus);
    const V reached = v_all(0) - (plus[4] >> 26); /* all ones where h + 5 reached 2^130 */
    for (int i = 0; i < LIMBS; i++)
        h[i] = (h[i] & ~reached) | (plus[i] & MASK26 & reached);
    *low = h[0] | h[1] << 26 | h[2] << 52;
    *high = h[2] >> 12 | h[3] << 14 | h[4] << 40;
}
