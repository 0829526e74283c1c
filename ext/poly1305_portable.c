/* Poly1305 (RFC 8439) in radix 2^44 (limbs of 44, 44 and 42 bits) with 128-bit products.
 *
 * Constant time: no branch or index depends on key or message, only on the size. */
#include "portable.h"

#include "bytes.h"
#include "frame.h"

typedef unsigned __int128 u128;

#define MASK44 (((uint64_t)1 << 44) - 1)
#define MASK42 (((uint64_t)1 << 42) - 1)

struct poly {
    uint64_t r[3]; /* clamped */
    uint64_t h[3]; /* the sum, below 2^130 and a little */
};

/* r, clamped as RFC 8439 section 2.5 says, cut into limbs */
static void poly_start(struct poly *p, const uint8_t key[32])
{
    const uint64_t low = fm_load64(key) & 0x0ffffffc0fffffff, high = fm_load64(key + 8) & 0x0ffffffc0ffffffc;
    p->r[0] = low & MASK44;
    p->r[1] = (low >> 44 | high << 20) & MASK44;
    p->r[2] = high >> 24;
    p->h[0] = p->h[1] = p->h[2] = 0;
}

/* h = (h + block + top * 2^128) * r mod 2^130 - 5, partly reduced. top is 1 for a whole block, 0 for a padded one. */
static inline void poly_block(struct poly *p, const uint8_t block[16], uint64_t top)
{
    const uint64_t low = fm_load64(block), high = fm_load64(block + 8);
    const uint64_t r0 = p->r[0], r1 = p->r[1], r2 = p->r[2], s1 = r1 * 20, s2 = r2 * 20; /* 2^132 = 4 * 5 */
    const uint64_t h0 = p->h[0] + (low & MASK44);
    const uint64_t h1 = p->h[1] + ((low >> 44 | high << 20) & MASK44);
    const uint64_t h2 = p->h[2] + (high >> 24 | top << 40);

    const u128 d0 = (u128)h0 * r0 + (u128)h1 * s2 + (u128)h2 * s1;
    const u128 d1 = (u128)h0 * r1 + (u128)h1 * r0 + (u128)h2 * s2 + (uint64_t)(d0 >> 44);
    const u128 d2 = (u128)h0 * r2 + (u128)h1 * r1 + (u128)h2 * r0 + (uint64_t)(d1 >> 44);
    const uint64_t low_sum = ((uint64_t)d0 & MASK44) + 5 * (uint64_t)(d2 >> 42);
    p->h[0] = low_sum & MASK44;
    p->h[1] = ((uint64_t)d1 & MASK44) + (low_sum >> 44);
    p->h[2] = (uint64_t)d2 & MASK42;
}

/* Carries h until each limb has its bits, then subtracts 2^130 - 5 where h is not below it. */
static void poly_reduce(uint64_t h[3])
{
    for (int pass = 0; pass < 2; pass++) {
        h[1] += h[0] >> 44;
        h[0] &= MASK44;
        h[2] += h[1] >> 44;
        h[1] &= MASK44;
        h[0] += 5 * (h[2] >> 42);
        h[2] &= MASK42;
    }
    h[1] += h[0] >> 44;
    h[0] &= MASK44;

    uint64_t g0 = h[0] + 5, g1 = h[1] + (g0 >> 44);
    const uint64_t g2 = h[2] + (g1 >> 44);
    const uint64_t mask = fm_opaque(0 - (g2 >> 42)); /* all ones: h + 5 reached 2^130 */
    h[0] = (h[0] & ~mask) | (g0 & MASK44 & mask);
    h[1] = (h[1] & ~mask) | (g1 & MASK44 & mask);
    h[2] = (h[2] & ~mask) | (g2 & MASK42 & mask);
}

static void poly_finish(uint8_t tag[16], struct poly *p, const uint8_t s[16])
{
    poly_reduce(p->h);
    const u128 sum = (u128)(p->h[0] | p->h[1] << 44) + fm_load64(s);
    const uint64_t high = (p->h[1] >> 20 | p->h[2] << 24) + fm_load64(s + 8) + (uint64_t)(sum >> 64);
    fm_store64(tag, (uint64_t)sum);
    fm_store64(tag + 8, high);
}

static FM_FRAME void rows(uint8_t *const *tag, const uint8_t *const *key, const uint8_t *const *message, size_t size, size_t n)
{
    struct poly p;
    uint8_t last[16];

    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        poly_start(&p, key[i]);
        for (; at + 16 <= size; at += 16)
            poly_block(&p, message[i] + at, 1);
        if (at < size) {
            memset(last, 0, sizeof last);
            memcpy(last, message[i] + at, size - at);
            last[size - at] = 1;
            poly_block(&p, last, 0);
        }
        poly_finish(tag[i], &p, key[i] + 16);
    }
}

void fm_poly1305_portable(uint8_t *const *tag, const uint8_t *const *key, const uint8_t *const *message, size_t size, size_t n)
{
    rows(tag, key, message, size, n);
    frame_burn();
}
