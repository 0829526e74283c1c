/* The field arithmetic of ext/x25519_fma.h, vector by vector, for tests/kernels/test_x25519_field.py. Compiled by it with
 * -DKERNEL="x25519_<isa>.c" and that instruction set's flags. */
#include KERNEL

/* One operation on n groups: limbs[group][limb][lane]. */
void field_apply(int operation, double *out, const double *a, const double *b, size_t n);

void field_apply(int operation, double *out, const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fe r, x, y;
        memcpy(x, a + 5 * LANES * i, sizeof x);
        memcpy(y, b + 5 * LANES * i, sizeof y);
        switch (operation) {
        case 0: fe_mul(r, x, y); break;
        case 1: fe_mul_loose(r, x, y); break;
        case 2: fe_square(r, x); break;
        case 3: fe_square_loose(r, x); break;
        case 4: fe_add(r, x, y); break;
        case 5: fe_sub(r, x, y); break;
        case 6: fe_add_curve(r, x, y); break;
        default: fe_invert(r, x); break;
        }
        memcpy(out + 5 * LANES * i, r, sizeof r);
    }
}
