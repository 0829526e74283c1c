/* Elements of x25519_avx512ifma.h from rows of 32 bytes and back, eight rows at a time, and the one number below p. Private to
 * ext/. */
#ifndef FM_X25519_WORDS_AVX512IFMA_H
#define FM_X25519_WORDS_AVX512IFMA_H

#include "x25519_avx512ifma.h"

enum { LANES = 8 };

/* The order of lanes that the first half of both transpositions shares. */
#define EVEN_PAIRS _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13)
#define ODD_PAIRS _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15)

INLINE __m512i load_two(const uint8_t *low, const uint8_t *high)
{
    const __m512i half = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)low));
    return _mm512_inserti64x4(half, _mm256_loadu_si256((const __m256i *)high), 1);
}

/* Eight rows of 32 bytes to four words of eight lanes. */
INLINE void load_words(__m512i word[4], const uint8_t *const row[LANES])
{
    const __m512i a = load_two(row[0], row[4]), b = load_two(row[1], row[5]);
    const __m512i c = load_two(row[2], row[6]), d = load_two(row[3], row[7]);
    const __m512i ab0 = _mm512_unpacklo_epi64(a, b), ab1 = _mm512_unpackhi_epi64(a, b);
    const __m512i cd0 = _mm512_unpacklo_epi64(c, d), cd1 = _mm512_unpackhi_epi64(c, d);
    word[0] = _mm512_permutex2var_epi64(ab0, EVEN_PAIRS, cd0);
    word[1] = _mm512_permutex2var_epi64(ab1, EVEN_PAIRS, cd1);
    word[2] = _mm512_permutex2var_epi64(ab0, ODD_PAIRS, cd0);
    word[3] = _mm512_permutex2var_epi64(ab1, ODD_PAIRS, cd1);
}

INLINE void store_two(uint8_t *low, uint8_t *high, __m512i x)
{
    _mm256_storeu_si256((__m256i *)low, _mm512_castsi512_si256(x));
    _mm256_storeu_si256((__m256i *)high, _mm512_extracti64x4_epi64(x, 1));
}

INLINE void store_words(uint8_t *const row[LANES], const __m512i word[4])
{
    const __m512i ab0 = _mm512_permutex2var_epi64(word[0], EVEN_PAIRS, word[2]);
    const __m512i ab1 = _mm512_permutex2var_epi64(word[1], EVEN_PAIRS, word[3]);
    const __m512i cd0 = _mm512_permutex2var_epi64(word[0], ODD_PAIRS, word[2]);
    const __m512i cd1 = _mm512_permutex2var_epi64(word[1], ODD_PAIRS, word[3]);
    store_two(row[0], row[4], _mm512_unpacklo_epi64(ab0, ab1));
    store_two(row[1], row[5], _mm512_unpackhi_epi64(ab0, ab1));
    store_two(row[2], row[6], _mm512_unpacklo_epi64(cd0, cd1));
    store_two(row[3], row[7], _mm512_unpackhi_epi64(cd0, cd1));
}

#define JOIN(low, right, high, left) _mm512_or_si512(_mm512_srli_epi64(low, right), _mm512_slli_epi64(high, left))

/* Limbs of the low 255 bits. */
INLINE fe fe_from_words(const __m512i w[4])
{
    return (fe){_mm512_and_si512(w[0], MASK52), _mm512_and_si512(JOIN(w[0], 52, w[1], 12), MASK52),
                _mm512_and_si512(JOIN(w[1], 40, w[2], 24), MASK52), _mm512_and_si512(JOIN(w[2], 28, w[3], 36), MASK52),
                _mm512_and_si512(_mm512_srli_epi64(w[3], 16), MASK47)};
}

/* Adds to limb 0, hands on all overflow and drops 2^255 and above. */
INLINE fe fe_ripple(fe a, __m512i more)
{
    a.v0 = _mm512_add_epi64(a.v0, more);
    CARRY(a.v0, a.v1), CARRY(a.v1, a.v2), CARRY(a.v2, a.v3), CARRY(a.v3, a.v4);
    return (fe){_mm512_and_si512(a.v0, MASK52), _mm512_and_si512(a.v1, MASK52), _mm512_and_si512(a.v2, MASK52),
                _mm512_and_si512(a.v3, MASK52), a.v4};
}

INLINE __m512i times19(__m512i x)
{
    return _mm512_madd52lo_epu64(ZERO, x, ALL(19));
}

/* Loose to the one number below p. */
INLINE fe fe_canonical(fe a)
{
    for (int pass = 0; pass < 2; pass++) { /* the first leaves less than 2^255 + 2^226 */
        const __m512i above = times19(_mm512_srli_epi64(a.v4, 47));
        a.v4 = _mm512_and_si512(a.v4, MASK47);
        a = fe_ripple(a, above);
    }
    /* a + 19 reaches 2^255 exactly where a >= p */
    const __m512i reaches = _mm512_srli_epi64(fe_ripple(a, ALL(19)).v4, 47);
    a = fe_ripple(a, times19(reaches));
    a.v4 = _mm512_and_si512(a.v4, MASK47);
    return a;
}

INLINE void fe_to_words(__m512i w[4], fe a)
{
    w[0] = _mm512_or_si512(a.v0, _mm512_slli_epi64(a.v1, 52));
    w[1] = JOIN(a.v1, 12, a.v2, 40);
    w[2] = JOIN(a.v2, 24, a.v3, 28);
    w[3] = JOIN(a.v3, 36, a.v4, 16);
}

INLINE __mmask8 fe_is_zero(fe a)
{
    a = fe_canonical(a);
    const __m512i any = _mm512_or_si512(_mm512_or_si512(a.v0, a.v1), _mm512_or_si512(_mm512_or_si512(a.v2, a.v3), a.v4));
    return _mm512_testn_epi64_mask(any, any);
}

#endif
