/* Four lanes of 64-bit words (AVX2): how rows of bytes become vectors of words and back. Private to ext/. */
#ifndef FM_LANES_H
#define FM_LANES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t V __attribute__((vector_size(32)));

enum { LANES = 4 };

static inline V v_all(uint64_t word)
{
    return (V)_mm256_set1_epi64x((long long)word);
}

/* Products of the lower halves of the words. */
static inline V v_multiply32(V a, V b)
{
    return (V)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}

#define V_SHUFFLE(v, low, high) ((V)_mm256_shuffle_epi8((__m256i)(v), _mm256_set_epi64x(high, low, high, low)))
#define V_ROTATE32(v) ((V)_mm256_shuffle_epi32((__m256i)(v), 0xb1))
#define V_ROTATE24(v) V_SHUFFLE(v, 0x0201000706050403, 0x0a09080f0e0d0c0b)
#define V_ROTATE16(v) V_SHUFFLE(v, 0x0100070605040302, 0x09080f0e0d0c0b0a)
static inline V v_rotate63(V v)
{
    return (v + v) | v >> 63;
}
#define V_ROTATE63(v) v_rotate63(v)

static inline void v_transpose(V out[4], const __m256i in[4])
{
    const __m256i a = _mm256_unpacklo_epi64(in[0], in[1]), b = _mm256_unpackhi_epi64(in[0], in[1]);
    const __m256i c = _mm256_unpacklo_epi64(in[2], in[3]), d = _mm256_unpackhi_epi64(in[2], in[3]);
    out[0] = (V)_mm256_permute2x128_si256(a, c, 0x20);
    out[1] = (V)_mm256_permute2x128_si256(b, d, 0x20);
    out[2] = (V)_mm256_permute2x128_si256(a, c, 0x31);
    out[3] = (V)_mm256_permute2x128_si256(b, d, 0x31);
}

/* Words 0 to 3 of four rows, from their first `size` bytes, up to 32; zeros behind. */
static inline void v_load_half(V out[4], const uint8_t *const from[LANES], size_t at, size_t size)
{
    __m256i rows[LANES];
    if (size == 32)
        for (int i = 0; i < LANES; i++)
            rows[i] = _mm256_loadu_si256((const __m256i *)(from[i] + at));
    else if (size == 0)
        memset(rows, 0, sizeof rows);
    else
        for (int i = 0; i < LANES; i++) {
            uint8_t part[32] = {0};
            memcpy(part, from[i] + at, size);
            rows[i] = _mm256_loadu_si256((const __m256i *)part);
        }
    v_transpose(out, rows);
}

/* Eight words of each row, from their first `size` bytes, up to 64; zeros behind. Nothing behind them is read. */
static inline void v_load(V out[8], const uint8_t *const from[LANES], size_t at, size_t size)
{
    v_load_half(out, from, at, size < 32 ? size : 32);
    v_load_half(out + 4, from, size < 32 ? at : at + 32, size < 32 ? 0 : size - 32);
}

/* The first `size` bytes of eight words to each of n rows. */
static inline void v_store(uint8_t *const *to, const V in[8], size_t size, size_t n)
{
    V low[4], high[4];
    v_transpose(low, (const __m256i *)in);
    v_transpose(high, (const __m256i *)in + 4);
    for (size_t i = 0; i < n; i++) {
        const size_t first = size < 32 ? size : 32;
        memcpy(to[i], &low[i], first);
        memcpy(to[i] + first, &high[i], size - first);
    }
}

#endif
