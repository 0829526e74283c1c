/* Eight lanes of 64-bit words (AVX-512F): how rows of bytes become vectors of words and back. Private to ext/. */
#ifndef FM_LANES_H
#define FM_LANES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t V __attribute__((vector_size(64)));

enum { LANES = 8 };

static inline V v_all(uint64_t word)
{
    return (V)_mm512_set1_epi64((long long)word);
}

/* Products of the lower halves of the words. */
static inline V v_multiply32(V a, V b)
{
    return (V)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}

#define V_ROTATE(v, n) ((V)_mm512_ror_epi64((__m512i)(v), n))
#define V_ROTATE32(v) V_ROTATE(v, 32)
#define V_ROTATE24(v) V_ROTATE(v, 24)
#define V_ROTATE16(v) V_ROTATE(v, 16)
#define V_ROTATE63(v) V_ROTATE(v, 63)

static inline __m256i v_half(const uint8_t *from, size_t size)
{
    const __mmask32 some = (__mmask32)(((uint64_t)1 << size) - 1);
    return size == 32 ? _mm256_loadu_si256((const __m256i *)from) : _mm256_maskz_loadu_epi8(some, from);
}

/* Words 0 to 3 of eight rows, from their first `size` bytes, up to 32; zeros behind. The pairs leave the lanes in order. */
static inline void v_load_half(V out[4], const uint8_t *const from[LANES], size_t at, size_t size)
{
    __m512i a[4], b[4];
    for (int i = 0; i < 4; i++) {
        const int low = i < 2 ? i : i + 2; /* rows 0 and 2, 1 and 3, 4 and 6, 5 and 7 */
        a[i] = _mm512_castsi256_si512(v_half(from[low] + at, size));
        a[i] = _mm512_inserti64x4(a[i], v_half(from[low + 2] + at, size), 1);
    }
    for (int i = 0; i < 4; i += 2) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 1]);
    }
    out[0] = (V)_mm512_shuffle_i64x2(b[0], b[2], 0x88);
    out[1] = (V)_mm512_shuffle_i64x2(b[1], b[3], 0x88);
    out[2] = (V)_mm512_shuffle_i64x2(b[0], b[2], 0xdd);
    out[3] = (V)_mm512_shuffle_i64x2(b[1], b[3], 0xdd);
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
    const __mmask64 some = size == 64 ? ~(uint64_t)0 : ((uint64_t)1 << size) - 1;
    __m512i a[8], b[8], rows[8];
    for (int i = 0; i < 8; i += 2) { /* words i and i + 1 of rows 0, 2, 4, 6; then of 1, 3, 5, 7 */
        a[i] = _mm512_unpacklo_epi64((__m512i)in[i], (__m512i)in[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi64((__m512i)in[i], (__m512i)in[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        b[i] = _mm512_shuffle_i64x2(a[i], a[2 + i], 0x44);
        b[2 + i] = _mm512_shuffle_i64x2(a[4 + i], a[6 + i], 0x44);
        b[4 + i] = _mm512_shuffle_i64x2(a[i], a[2 + i], 0xee);
        b[6 + i] = _mm512_shuffle_i64x2(a[4 + i], a[6 + i], 0xee);
    }
    for (int i = 0; i < 2; i++) {
        rows[i] = _mm512_shuffle_i64x2(b[i], b[2 + i], 0x88);
        rows[2 + i] = _mm512_shuffle_i64x2(b[i], b[2 + i], 0xdd);
        rows[4 + i] = _mm512_shuffle_i64x2(b[4 + i], b[6 + i], 0x88);
        rows[6 + i] = _mm512_shuffle_i64x2(b[4 + i], b[6 + i], 0xdd);
    }
    for (size_t i = 0; i < n; i++) {
        if (size == 64)
            _mm512_storeu_si512(to[i], rows[i]);
        else if (size == 32)
            _mm256_storeu_si256((__m256i *)to[i], _mm512_castsi512_si256(rows[i]));
        else
            _mm512_mask_storeu_epi8(to[i], some, rows[i]);
    }
}

#endif
