/* Poly1305, four rows a pass (AVX2). */
#include "vectors.h"

#include "lanes_avx2.h"

#include "poly1305_26.h"

#include "poly1305_lanes.h"

void fm_poly1305_avx2(uint8_t *const *tag, const uint8_t *const *key, const uint8_t *const *message, size_t size, size_t n)
{
    poly1305(tag, key, message, size, n);
}
