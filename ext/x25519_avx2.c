/* X25519 and the subgroup check, four lanes in 256 bits. */
#ifndef __clang__
#pragma GCC optimize("no-tree-ter") /* keeps the order written, in which columns overlap: gcc 12's own costs an eighth */
#endif
#include <immintrin.h>
#include <stdint.h>

enum { LEVELS = 2, LANES = 4 };
typedef __m256d vf;
typedef __m256d lanes; /* the sign bits */
#define fma_vf _mm256_fmadd_pd
/* b where the mask is set, else a */
#define select_vf(mask, a, b) _mm256_blendv_pd(a, b, mask)

/* The lane whose number differs in bit i. */
static inline vf partner_vf(vf a, int i)
{
    return i ? _mm256_permute4x64_pd(a, 0x4e) : _mm256_permute4x64_pd(a, 0xb1);
}

static inline lanes is_zero_vf(const vf limbs[5])
{
    lanes zero = _mm256_cmp_pd(limbs[0], _mm256_setzero_pd(), _CMP_EQ_OQ);
    for (int k = 1; k < 5; k++)
        zero = _mm256_and_pd(zero, _mm256_cmp_pd(limbs[k], _mm256_setzero_pd(), _CMP_EQ_OQ));
    return zero;
}

static inline lanes bit_of(const uint64_t words[4], int bit)
{
    return _mm256_castsi256_pd(_mm256_sll_epi64(_mm256_loadu_si256((const __m256i *)words), _mm_cvtsi32_si128(63 - bit)));
}

static inline unsigned bits_of_lanes(lanes mask)
{
    return (unsigned)_mm256_movemask_pd(mask);
}

static inline lanes lanes_of_bits(unsigned bits)
{
    return _mm256_castsi256_pd(_mm256_sllv_epi64(_mm256_set1_epi64x(bits), _mm256_setr_epi64x(63, 62, 61, 60)));
}

#include "x25519_fma.h"

#include "subgroup_fma.h"

void fm_x25519_avx2(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    x25519_batches(out, scalar, point, n);
}

void fm_subgroup_avx2(uint8_t *in, const uint8_t *const *point, size_t n)
{
    subgroup_batches(in, point, n);
}
