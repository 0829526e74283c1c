/* The subgroup check of many lanes, eight to a vector, in AVX-512 IFMA. */
#include "x25519_words_avx512ifma.h"

#include "x25519.h"

typedef fe el; /* loose */

INLINE el el_mul(el a, el b)
{
    return fold_a(wide_mul(fe_carry(a), fe_carry(b), 0));
}

INLINE el el_square(el a)
{
    return fold_a(wide_sqr(fe_carry(a), 0));
}

INLINE el el_add(el a, el b)
{
    return fe_add(a, b);
}

/* b is no difference. */
INLINE el el_sub(el a, el b)
{
    return fe_sub(fe_biased(a), b);
}

INLINE el el_load(const uint8_t *const point[LANES])
{
    __m512i word[4];
    load_words(word, point);
    return fe_from_words(word);
}

INLINE el el_select(unsigned bits, el a, el b)
{
    return fe_blend((__mmask8)bits, a, b);
}

INLINE unsigned el_zeros(el a)
{
    return fe_is_zero(a);
}

#include "subgroup.h"

void fm_subgroup_avx512ifma(uint8_t *in, const uint8_t *const *point, size_t n)
{
    subgroup_all(in, point, n);
}
