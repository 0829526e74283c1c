/* BLAKE2b, eight rows a pass (AVX-512F). */
#include "vectors.h"

#include "lanes_avx512f.h"

#include "blake2b_lanes.h"

void fm_blake2b_avx512f(const struct fm_hash *shared, uint8_t *const *out, const uint8_t *const *key,
                     const uint8_t *const *message, size_t n)
{
    blake2b(shared, out, key, message, n);
}
