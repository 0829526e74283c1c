/* Scalars of Curve25519 modulo the order of its base point: a builder multiplies its secret by every hop's blinding, and so needs
 * two X25519 a hop, whatever its number. Constant time. Every secret is a multiple of 8 (RFC 7748 clamping), so an eighth of
 * it is kept: a product modulo l, times 8, is then exact for points with a small-order part as well. */
#include <string.h>

#include "bytes.h"
#include "fm_build.h"

typedef unsigned __int128 wide;

static const uint64_t ORDER[4] = {0x5812631a5cf5d3edULL, 0x14def9dea2f79cd6ULL, 0, 0x1000000000000000ULL};
static const uint64_t LOW_PART[2] = {0x5812631a5cf5d3edULL, 0x14def9dea2f79cd6ULL}; /* l - 2^252 */

static void load(uint64_t out[4], const uint8_t in[32])
{
    for (int i = 0; i < 4; i++) out[i] = fm_load64(in + 8 * i);
}

static void store(uint8_t out[32], const uint64_t in[4])
{
    for (int i = 0; i < 4; i++) fm_store64(out + 8 * i, in[i]);
}

static void multiply(uint64_t *out, const uint64_t *a, int an, const uint64_t *b, int bn)
{
    memset(out, 0, sizeof(uint64_t) * (size_t)(an + bn));
    for (int i = 0; i < an; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < bn; j++) {
            wide t = (wide)a[i] * b[j] + out[i + j] + carry;
            out[i + j] = (uint64_t)t;
            carry = (uint64_t)(t >> 64);
        }
        out[i + bn] = carry;
    }
}

static void add(uint64_t out[4], const uint64_t a[4], const uint64_t b[4])
{
    uint64_t carry = 0;
    for (int i = 0; i < 4; i++) {
        wide t = (wide)a[i] + b[i] + carry;
        out[i] = (uint64_t)t;
        carry = (uint64_t)(t >> 64);
    }
}

/* Returns 1 if a < b. */
static uint64_t subtract(uint64_t out[4], const uint64_t a[4], const uint64_t b[4])
{
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        wide t = (wide)a[i] - b[i] - borrow;
        out[i] = (uint64_t)t;
        borrow = (uint64_t)(t >> 64) & 1;
    }
    return borrow;
}

static void choose(uint64_t out[4], uint64_t first, const uint64_t a[4], const uint64_t b[4])
{
    uint64_t mask = 0 - fm_opaque(first);
    for (int i = 0; i < 4; i++) out[i] = (a[i] & mask) | (b[i] & ~mask);
}

/* high = value >> 252 (high_n limbs), low = value mod 2^252. */
static void split(uint64_t *high, int high_n, uint64_t low[4], const uint64_t *value, int n)
{
    for (int i = 0; i < high_n; i++) {
        uint64_t above = i + 4 < n ? value[i + 4] : 0;
        high[i] = value[i + 3] >> 60 | above << 4;
    }
    memcpy(low, value, 32);
    low[3] &= 0x0fffffffffffffffULL;
}

/* 2^252 = -c (mod l): high1 2^252 + low1 = low1 - high1 c = low1 - (high2 2^252 + low2) = low1 - low2 + high2 c. */
static void reduce(uint64_t out[4], const uint64_t value[8])
{
    uint64_t high1[4], low1[4], product1[6], high2[2], low2[4], product2[4], sum[4], less[4];
    split(high1, 4, low1, value, 8);
    multiply(product1, high1, 4, LOW_PART, 2);
    split(high2, 2, low2, product1, 6);
    multiply(product2, high2, 2, LOW_PART, 2);
    add(sum, low1, product2); /* value < 2^507.1, so high2 < 2^128 and product2 < 2^252 */
    add(sum, sum, ORDER);
    subtract(sum, sum, low2); /* > 0, < 3 l */
    for (int i = 0; i < 2; i++) {
        uint64_t is_less = subtract(less, sum, ORDER);
        choose(sum, is_less, sum, less);
    }
    memcpy(out, sum, 32);
    fm_wipe(high1, sizeof high1);
    fm_wipe(low1, sizeof low1);
    fm_wipe(product1, sizeof product1);
    fm_wipe(high2, sizeof high2);
    fm_wipe(low2, sizeof low2);
    fm_wipe(product2, sizeof product2);
    fm_wipe(sum, sizeof sum);
    fm_wipe(less, sizeof less);
}

void fm_scalar_multiply(uint8_t out[32], const uint8_t a[32], const uint8_t clamped[32])
{
    uint64_t x[4], y[4], product[8];
    load(x, a);
    load(y, clamped);
    multiply(product, x, 4, y, 4);
    reduce(x, product);
    store(out, x);
    fm_wipe(x, sizeof x);
    fm_wipe(y, sizeof y);
    fm_wipe(product, sizeof product);
}

/* Of a and l - a, one is in 2^251 .. 2^252 - 1 (but for 2^126 values of a: never met), and 8 times that has bit 254 set, as
 * clamping would. X25519 knows no sign. */
void fm_scalar_clamped(uint8_t out[32], const uint8_t a[32])
{
    uint64_t x[4], negative[4];
    load(x, a);
    subtract(negative, ORDER, x);
    choose(x, x[3] >> 59 & 1, x, negative);
    for (int i = 3; i > 0; i--) x[i] = x[i] << 3 | x[i - 1] >> 61;
    x[0] <<= 3;
    store(out, x);
    fm_wipe(x, sizeof x);
    fm_wipe(negative, sizeof negative);
}
