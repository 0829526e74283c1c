/* The field arithmetic of ext/x25519_avx512ifma.h, vector by vector, and both ladders by name, for
 * tests/kernels/test_x25519_ifma.py, which compiles it with the flags of avx512ifma. */
#include "x25519_avx512ifma.c"

#include "x25519_ladder_b_avx512ifma.c"

/* One operation on n groups: limbs[group][limb][lane]. */
void field_apply(int operation, fe *out, const fe *a, const fe *b, size_t n);

void field_apply(int operation, fe *out, const fe *a, const fe *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fe r, x, y;
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        switch (operation) {
        case 0: r = fold_a(wide_mul(x, y, 0)); break;
        case 1: r = fold_a(wide_mul(x, y, 1)); break;
        case 2: r = fold_a(wide_sqr(x, 0)); break;
        case 3: r = fold_a(wide_sqr(x, 1)); break;
        case 4: r = fold_b(wide_mul(x, y, 0)); break;
        case 5: r = fold_b(wide_mul(x, y, 1)); break;
        case 6: r = fold_b(wide_sqr(x, 0)); break;
        case 7: r = fold_b(wide_sqr(x, 1)); break;
        case 8: r = fe_carry(x); break;
        case 9: r = fe_add_a24(x, y); break;
        case 10: r = fe_canonical(x); break;
        default: r = fe_invert(x); break;
        }
        memcpy(out + i, &r, sizeof r);
    }
}
