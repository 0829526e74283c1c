/* X25519 and the subgroup check, eight lanes in 512 bits. */
#include <immintrin.h>
#include <stdint.h>

enum { LEVELS = 3, LANES = 8 };
typedef __m512d vf;
typedef __mmask8 lanes;
#define fma_vf _mm512_fmadd_pd
/* b where the mask is set, else a */
#define select_vf(mask, a, b) _mm512_mask_blend_pd(mask, a, b)

/* The lane whose number differs in bit i. */
static inline vf partner_vf(vf a, int i)
{
    return i == 0 ? _mm512_permutex_pd(a, 0xb1) : i == 1 ? _mm512_permutex_pd(a, 0x4e) : _mm512_shuffle_f64x2(a, a, 0x4e);
}

static inline lanes is_zero_vf(const vf limbs[5])
{
    lanes zero = 0xff;
    for (int k = 0; k < 5; k++)
        zero = _mm512_mask_cmp_pd_mask(zero, limbs[k], _mm512_setzero_pd(), _CMP_EQ_OQ);
    return zero;
}

static inline lanes bit_of(const uint64_t words[8], int bit)
{
    return _mm512_test_epi64_mask(_mm512_loadu_si512(words), _mm512_set1_epi64((long long)(1ull << bit)));
}

static inline unsigned bits_of_lanes(lanes mask)
{
    return mask;
}

static inline lanes lanes_of_bits(unsigned bits)
{
    return (lanes)bits;
}

#include "x25519_fma.h"

#include "subgroup_fma.h"

void fm_x25519_avx512f(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    x25519_batches(out, scalar, point, n);
}

void fm_subgroup_avx512f(uint8_t *in, const uint8_t *const *point, size_t n)
{
    subgroup_batches(in, point, n);
}
