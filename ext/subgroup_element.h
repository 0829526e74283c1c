/* The element of subgroup.h over a field whose element is an array `fe`: included where fe, fe_mul, fe_square, fe_add, fe_sub and
 * INLINE are defined. */
typedef struct {
    fe limbs; /* tight: a product, or loaded */
} el;

INLINE el el_mul(el a, el b)
{
    el out;
    fe_mul(out.limbs, a.limbs, b.limbs);
    return out;
}

INLINE el el_square(el a)
{
    el out;
    fe_square(out.limbs, a.limbs);
    return out;
}

INLINE el el_add(el a, el b)
{
    el out;
    fe_add(out.limbs, a.limbs, b.limbs);
    return out;
}

INLINE el el_sub(el a, el b)
{
    el out;
    fe_sub(out.limbs, a.limbs, b.limbs);
    return out;
}
