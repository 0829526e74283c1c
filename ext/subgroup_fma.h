/* The field of x25519_fma.h as subgroup.h wants it. Included once by each x25519_<isa>.c, which has lanes_of_bits and
 * bits_of_lanes. */
#include "subgroup_element.h"

static el el_load(const uint8_t *const point[LANES])
{
    el out;
    load_point(out.limbs, point);
    return out;
}

INLINE el el_select(unsigned bits, el a, el b)
{
    const lanes mask = lanes_of_bits(bits);
    for (int k = 0; k < 5; k++)
        a.limbs[k] = select_vf(mask, a.limbs[k], b.limbs[k]);
    return a;
}

INLINE unsigned el_zeros(el a)
{
    return bits_of_lanes(is_zero_vf(a.limbs));
}

#include "subgroup.h"

/* In a rounding mode of its own, as X25519. */
static inline void subgroup_batches(uint8_t *in, const uint8_t *const *point, size_t n)
{
    const unsigned int before = _mm_getcsr();
    _mm_setcsr(0x1f80);
    subgroup_all(in, point, n);
    _mm_setcsr(before);
}
