/* The delay that a packet names: Exp(1) by the ziggurat of rand_distr 0.4.3 (Marsaglia and Tsang 2000) over the words of
 * rand_chacha's ChaCha20Rng, to the last bit. fastmix/reference/delay.py is the twin.
 *
 * Not constant time, and cannot be: it looks up its table by a random byte, and about 1 sample in 50 needs a second word. What
 * leaks tells something about one delay, which shows anyway when the packet leaves; the seed is used for nothing else. */
#include "delay.h"

#include <math.h>

#include "bytes.h"
#include "ziggurat_exp.h"

#define DELAY_MAX 10.0

enum { BLOCK = 64, LAYER_MASK = 0xff };

struct words { /* the u64 stream of one seed */
    const struct fm_kernels *k;
    uint8_t key[32];
    uint8_t block[BLOCK];
    uint32_t block_number;
    size_t at;
};

static uint64_t words_next(struct words *w)
{
    if (w->at == BLOCK) {
        uint8_t *out = w->block;
        const uint8_t *key = w->key;
        w->block_number++;
        w->k->chacha20(&out, NULL, &key, NULL, &w->block_number, BLOCK, 1);
        w->at = 0;
    }
    w->at += 8;
    return fm_load64(w->block + w->at - 8);
}

/* The upper 53 bits as a number in [0, 1). */
static double uniform(struct words *w)
{
    return (double)(words_next(w) >> 11) * 0x1p-53;
}

static double exponential(struct words *w)
{
    for (;;) {
        const uint64_t word = words_next(w);
        const unsigned layer = (unsigned)(word & LAYER_MASK);
        const double u = (1.0 + (double)(word >> 12) * 0x1p-52) - (1.0 - 0x1p-53); /* in (0, 1), from the upper 52 bits */
        const double x = u * fm_zig_x[layer];
        if (x < fm_zig_x[layer + 1])
            return x;
        if (layer == 0)
            return FM_ZIG_TAIL_AT - log(uniform(w));
        if (fm_zig_f[layer + 1] + (fm_zig_f[layer] - fm_zig_f[layer + 1]) * uniform(w) < exp(-x))
            return x;
    }
}

void fm_delay_batch(const struct fm_kernels *k, double *delay, const uint8_t *const *seed, size_t n)
{
    uint8_t keys[FM_BATCH_MAX][32], blocks[FM_BATCH_MAX][BLOCK];
    const uint8_t *key[FM_BATCH_MAX];
    uint8_t *block[FM_BATCH_MAX];
    struct words w = {.k = k};

    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        memcpy(keys[i], seed[i], 16);
        memcpy(keys[i] + 16, seed[i], 16);
        key[i] = keys[i];
        block[i] = blocks[i];
    }
    k->chacha20(block, NULL, key, NULL, NULL, BLOCK, n);
    for (size_t i = 0; i < n; i++) {
        memcpy(w.key, keys[i], sizeof w.key);
        memcpy(w.block, blocks[i], sizeof w.block);
        w.block_number = 0;
        w.at = 0;
        const double sample = exponential(&w);
        delay[i] = sample < DELAY_MAX ? sample : DELAY_MAX;
    }
    fm_wipe(&w, sizeof w);
    fm_wipe(keys, n * sizeof keys[0]);
    fm_wipe(blocks, n * sizeof blocks[0]);
}

double fm_delay(const struct fm_kernels *k, const uint8_t seed[16])
{
    double delay;
    fm_delay_batch(k, &delay, &seed, 1);
    return delay;
}
