/* ChaCha20, sixteen blocks a pass (AVX-512F). */
#include "vectors.h"

#include <immintrin.h>
#include <stdint.h>

typedef uint32_t W __attribute__((vector_size(64)));

enum { LANES = 16 };

#define ROTATE(v, n) ((W)_mm512_rol_epi32((__m512i)(v), n))
#define STEP(a, b, d, n, a1, b1, d1, a2, b2, d2, a3, b3, d3)                                                         \
    x[a] += x[b]; x[a1] += x[b1]; x[a2] += x[b2]; x[a3] += x[b3];                                                    \
    x[d] ^= x[a]; x[d1] ^= x[a1]; x[d2] ^= x[a2]; x[d3] ^= x[a3];                                                    \
    x[d] = ROTATE(x[d], n); x[d1] = ROTATE(x[d1], n); x[d2] = ROTATE(x[d2], n); x[d3] = ROTATE(x[d3], n);
#define QUARTERS(a, b, c, d, a1, b1, c1, d1, a2, b2, c2, d2, a3, b3, c3, d3)                                         \
    do {                                                                                                             \
        STEP(a, b, d, 16, a1, b1, d1, a2, b2, d2, a3, b3, d3)                                                        \
        STEP(c, d, b, 12, c1, d1, b1, c2, d2, b2, c3, d3, b3)                                                        \
        STEP(a, b, d, 8, a1, b1, d1, a2, b2, d2, a3, b3, d3)                                                         \
        STEP(c, d, b, 7, c1, d1, b1, c2, d2, b2, c3, d3, b3)                                                         \
    } while (0)

#include "chacha20_lanes.h"

static inline __m512i two_keys(const uint8_t *low, const uint8_t *high)
{
    const __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)low));
    return _mm512_inserti64x4(first, _mm256_loadu_si256((const __m256i *)high), 1);
}

/* Sixteen keys of eight words into eight vectors of sixteen. */
static void keys_load(W key[8], const struct group *g)
{
    __m512i a[8], b[8];
    for (int i = 0; i < 4; i++) {
        a[i] = two_keys(g->key[i], g->key[i + 4]);
        a[i + 4] = two_keys(g->key[i + 8], g->key[i + 12]);
    }
    for (int i = 0; i < 8; i += 2) { /* words of lanes i and i + 1 side by side */
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) /* quarters of a[i + w]: words w and w + 4 of four lanes, then of the next four */
        for (int w = 0; w < 4; w++)
            a[i + w] = w & 1 ? _mm512_unpackhi_epi64(b[i + w / 2], b[i + 2 + w / 2])
                             : _mm512_unpacklo_epi64(b[i + w / 2], b[i + 2 + w / 2]);
    for (int w = 0; w < 4; w++) {
        key[w] = (W)_mm512_shuffle_i64x2(a[w], a[4 + w], 0x88);
        key[w + 4] = (W)_mm512_shuffle_i64x2(a[w], a[4 + w], 0xdd);
    }
}

static inline void block_put(const struct group *g, size_t lane, __m512i stream)
{
    if (lane >= g->used)
        return;
    if (g->size[lane] == BLOCK) {
        if (g->in[lane] != NULL)
            stream = _mm512_xor_si512(stream, _mm512_loadu_si512(g->in[lane]));
        _mm512_storeu_si512(g->out[lane], stream);
    } else {
        const __mmask64 some = ((uint64_t)1 << g->size[lane]) - 1;
        if (g->in[lane] != NULL)
            stream = _mm512_xor_si512(stream, _mm512_maskz_loadu_epi8(some, g->in[lane]));
        _mm512_mask_storeu_epi8(g->out[lane], some, stream);
    }
}

/* Vectors of words become rows of blocks: within quarters first, then quarters between vectors. */
static inline void blocks_apply(const struct group *g, const W x[16])
{
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32((__m512i)x[i], (__m512i)x[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32((__m512i)x[i], (__m512i)x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int w = 0; w < 2; w++) { /* b[i + l]: words i to i + 3 of lanes l, l + 4, l + 8, l + 12 */
            b[i + 2 * w] = _mm512_unpacklo_epi64(a[i + w], a[i + 2 + w]);
            b[i + 2 * w + 1] = _mm512_unpackhi_epi64(a[i + w], a[i + 2 + w]);
        }
#pragma GCC unroll 4
    for (int l = 0; l < 4; l++) {
        const __m512i low0 = _mm512_shuffle_i64x2(b[l], b[4 + l], 0x44), low1 = _mm512_shuffle_i64x2(b[8 + l], b[12 + l], 0x44);
        const __m512i high0 = _mm512_shuffle_i64x2(b[l], b[4 + l], 0xee), high1 = _mm512_shuffle_i64x2(b[8 + l], b[12 + l], 0xee);
        block_put(g, (size_t)l, _mm512_shuffle_i64x2(low0, low1, 0x88));
        block_put(g, (size_t)l + 4, _mm512_shuffle_i64x2(low0, low1, 0xdd));
        block_put(g, (size_t)l + 8, _mm512_shuffle_i64x2(high0, high1, 0x88));
        block_put(g, (size_t)l + 12, _mm512_shuffle_i64x2(high0, high1, 0xdd));
    }
}

void fm_chacha20_avx512f(uint8_t *const *out, const uint8_t *const *in, const uint8_t *const *key,
                         const uint8_t *const *nonce, const uint32_t *counter, size_t size, size_t n)
{
    const struct call c = {out, in, key, nonce, counter, size, n};
    chacha20(&c);
}
