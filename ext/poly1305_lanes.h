/* What all vector Poly1305 (RFC 8439) share: four blocks a step by Horner's rule in r^4, which is h = (h + m1) r^4 + m2 r^3 +
 * m3 r^2 + m4 r, so that four products are reduced at once; lane = row. Included after a lanes_ header by a file that defines
 * LIMBS, PRODUCTS, `struct power` (limbs of a power of r, and multiples of them for what wraps), and
 *   block_split(limb, low, high, top)   limbs of 16 bytes and bit 128
 *   power_set(p, limb)                  a power of r from its carried limbs
 *   products_add(d, a, p)               d += a * p, in as many sums as PRODUCTS
 *   products_carry(limb, d)             limbs of the sums, small enough to be multiplied again
 *   whole(low, high, limb)              the number below 2^130 - 5, its lower 128 bits
 * Private to ext/. Constant time: sizes alone decide on branches. */
#include "bytes.h"
#include "fm_kernels.h"
#include "frame.h"

enum { BLOCK = 16, STEP_BLOCKS = 4, STEP = STEP_BLOCKS * BLOCK };

struct group { /* the rows of one pass */
    const uint8_t *key[LANES];
    const uint8_t *message[LANES];
};

/* d += (h, if this is the first, + block) times a power */
static inline void block_add(V d[PRODUCTS], const V h[LIMBS], int first, V low, V high, V top, const struct power *power)
{
    V limb[LIMBS];
    block_split(limb, low, high, top);
    for (int i = 0; first && i < LIMBS; i++)
        limb[i] += h[i];
    products_add(d, limb, power);
}

/* h = (h + first block) r^4 + second r^3 + third r^2 + fourth r */
static inline void step(V h[LIMBS], const V words[8], const struct power *power)
{
    V d[PRODUCTS] = {0};
    for (int i = 0; i < STEP_BLOCKS; i++)
        block_add(d, h, i == 0, words[2 * i], words[2 * i + 1], v_all(1), &power[STEP_BLOCKS - 1 - i]);
    products_carry(h, d);
}

/* The rest of the rows, one to four blocks: whole ones and, behind their last byte, a one. */
static FM_FRAME void rest(V h[LIMBS], const struct group *g, size_t at, size_t size, const struct power *power)
{
    const size_t left = size - at, n = (left + BLOCK - 1) / BLOCK;
    V words[8], d[PRODUCTS] = {0};

    v_load(words, g->message, at, left);
    if (left % BLOCK)
        words[left / 8] |= v_all((uint64_t)1 << left % 8 * 8);
#pragma GCC unroll 1
    for (size_t i = 0; i < n; i++)
        block_add(d, h, i == 0, words[2 * i], words[2 * i + 1], v_all((i + 1) * BLOCK <= left), &power[n - 1 - i]);
    products_carry(h, d);
}

/* r to r^n, n at most 4. */
static inline void powers_set(struct power power[STEP_BLOCKS], const V key[4], size_t n)
{
    V limb[LIMBS];
    block_split(limb, key[0] & v_all(0x0ffffffc0fffffff), key[1] & v_all(0x0ffffffc0ffffffc), v_all(0));
    power_set(&power[0], limb);
    for (size_t i = 1; i < n; i++) {
        V d[PRODUCTS] = {0};
        products_add(d, limb, &power[0]);
        products_carry(limb, d);
        power_set(&power[i], limb);
    }
}

static FM_FRAME void tags(V tag[8], const struct group *g, size_t size)
{
    struct power power[STEP_BLOCKS];
    V key[4], h[LIMBS] = {0}, words[8], low, high;
    const size_t blocks = (size + BLOCK - 1) / BLOCK;
    size_t at = 0;

    v_load_half(key, g->key, 0, 32);
    powers_set(power, key, blocks < STEP_BLOCKS ? blocks : STEP_BLOCKS);
    for (; at + STEP <= size; at += STEP) {
        v_load(words, g->message, at, STEP);
        step(h, words, power);
    }
    if (at < size)
        rest(h, g, at, size, power);
    whole(&low, &high, h);
    tag[0] = low + key[2];
    tag[1] = high + key[3] - (V)(tag[0] < low); /* a true comparison is -1 */
    for (int i = 2; i < 8; i++)
        tag[i] = v_all(0);
}

static inline void poly1305(uint8_t *const *out, const uint8_t *const *key, const uint8_t *const *message, size_t size, size_t n)
{
    static const uint8_t nothing[1];
    struct group g;
    V tag[8];

    for (size_t first = 0; first < n; first += LANES) {
        const size_t used = n - first < LANES ? n - first : LANES;
        for (size_t i = 0; i < LANES; i++) { /* lanes behind the last row repeat it */
            const size_t row = first + (i < used ? i : used - 1);
            g.key[i] = key[row];
            g.message[i] = size == 0 ? nothing : message[row];
        }
        tags(tag, &g, size);
        v_store(out + first, tag, BLOCK, used);
    }
    if (n > 0)
        frame_burn();
}
