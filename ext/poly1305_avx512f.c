/* Poly1305, eight rows a pass, without 52-bit products (AVX-512F). */
#include "vectors.h"

#include "lanes_avx512f.h"

#include "poly1305_26.h"

#include "poly1305_lanes.h"

void fm_poly1305_avx512f(uint8_t *const *tag, const uint8_t *const *key, const uint8_t *const *message, size_t size, size_t n)
{
    poly1305(tag, key, message, size, n);
}
