/* ChaCha20, eight blocks a pass (AVX2). */
#include "vectors.h"

#include <immintrin.h>
#include <stdint.h>

typedef uint32_t W __attribute__((vector_size(32)));

enum { LANES = 8 };

#define ROTATE16(v) ((W)_mm256_shuffle_epi8((__m256i)(v), by16))
#define ROTATE8(v) ((W)_mm256_shuffle_epi8((__m256i)(v), by8))
#define ROTATE12(v) ((v) << 12 | (v) >> 20)
#define ROTATE7(v) ((v) << 7 | (v) >> 25)
#define STEP(a, b, d, ROTATE) x[a] += x[b]; x[d] = ROTATE(x[d] ^ x[a])
#define QUARTER_PAIR(a, b, c, d, a1, b1, c1, d1)                                                                     \
    do {                                                                                                             \
        STEP(a, b, d, ROTATE16); STEP(a1, b1, d1, ROTATE16);                                                         \
        STEP(c, d, b, ROTATE12); STEP(c1, d1, b1, ROTATE12);                                                         \
        STEP(a, b, d, ROTATE8); STEP(a1, b1, d1, ROTATE8);                                                           \
        STEP(c, d, b, ROTATE7); STEP(c1, d1, b1, ROTATE7);                                                           \
    } while (0)
/* Two and two: four at once would need more than sixteen registers. */
#define QUARTERS(a, b, c, d, a1, b1, c1, d1, a2, b2, c2, d2, a3, b3, c3, d3)                                         \
    do {                                                                                                             \
        const __m256i by16 = _mm256_set_epi64x(0x0d0c0f0e09080b0a, 0x0504070601000302, 0x0d0c0f0e09080b0a,           \
                                               0x0504070601000302);                                                  \
        const __m256i by8 = _mm256_set_epi64x(0x0e0d0c0f0a09080b, 0x0605040702010003, 0x0e0d0c0f0a09080b,            \
                                              0x0605040702010003);                                                   \
        QUARTER_PAIR(a, b, c, d, a1, b1, c1, d1);                                                                    \
        QUARTER_PAIR(a2, b2, c2, d2, a3, b3, c3, d3);                                                                \
    } while (0)

#include "chacha20_lanes.h"

/* Eight rows of eight words become eight columns. */
static inline void transpose(__m256i out[8], const __m256i in[8])
{
    __m256i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi32(in[i], in[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(in[i], in[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int w = 0; w < 2; w++) {
            b[i + 2 * w] = _mm256_unpacklo_epi64(a[i + w], a[i + 2 + w]);
            b[i + 2 * w + 1] = _mm256_unpackhi_epi64(a[i + w], a[i + 2 + w]);
        }
    for (int w = 0; w < 4; w++) {
        out[w] = _mm256_permute2x128_si256(b[w], b[4 + w], 0x20);
        out[w + 4] = _mm256_permute2x128_si256(b[w], b[4 + w], 0x31);
    }
}

static inline void keys_load(W key[8], const struct group *g)
{
    __m256i rows[8], words[8];
    for (int i = 0; i < 8; i++)
        rows[i] = _mm256_loadu_si256((const __m256i *)g->key[i]);
    transpose(words, rows);
    memcpy(key, words, sizeof words);
}

static inline void half_put(uint8_t *out, const uint8_t *in, __m256i stream)
{
    if (in != NULL)
        stream = _mm256_xor_si256(stream, _mm256_loadu_si256((const __m256i *)in));
    _mm256_storeu_si256((__m256i *)out, stream);
}

/* The last block of a row, by way of a buffer of a whole one. */
static void part_put(const struct group *g, size_t lane, __m256i low, __m256i high)
{
    uint8_t part[BLOCK];
    if (g->in[lane] != NULL)
        memcpy(part, g->in[lane], g->size[lane]);
    half_put(part, g->in[lane] == NULL ? NULL : part, low);
    half_put(part + 32, g->in[lane] == NULL ? NULL : part + 32, high);
    memcpy(g->out[lane], part, g->size[lane]);
}

static inline void blocks_apply(const struct group *g, const W x[16])
{
    __m256i low[8], high[8];
    transpose(low, (const __m256i *)x);
    transpose(high, (const __m256i *)x + 8);
    for (size_t lane = 0; lane < g->used; lane++) {
        if (g->size[lane] == BLOCK) {
            half_put(g->out[lane], g->in[lane], low[lane]);
            half_put(g->out[lane] + 32, g->in[lane] == NULL ? NULL : g->in[lane] + 32, high[lane]);
        } else {
            part_put(g, lane, low[lane], high[lane]);
        }
    }
}

void fm_chacha20_avx2(uint8_t *const *out, const uint8_t *const *in, const uint8_t *const *key,
                      const uint8_t *const *nonce, const uint32_t *counter, size_t size, size_t n)
{
    const struct call c = {out, in, key, nonce, counter, size, n};
    chacha20(&c);
}
