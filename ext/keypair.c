/* X25519 key pairs in batches (RFC 7748 section 6.1). */
#include "fm_build.h"

enum { LANES = FM_BATCH_MAX };

static const uint8_t BASE_POINT[32] = {9};

void fm_keypairs(const struct fm_kernels *k, const uint8_t seed[32], uint8_t *secrets, uint8_t *publics, size_t n)
{
    uint8_t *secret[LANES], *public[LANES];
    const uint8_t *key[LANES], *point[LANES], *scalar[LANES];
    uint32_t block[LANES];
    for (size_t first = 0; first < n; first += LANES) {
        size_t rows = n - first < LANES ? n - first : LANES;
        for (size_t r = 0; r < rows; r++) {
            scalar[r] = secret[r] = secrets + (first + r) * 32;
            public[r] = publics + (first + r) * 32;
            key[r] = seed;
            point[r] = BASE_POINT;
            block[r] = (uint32_t)(first + r);
        }
        k->chacha20(secret, NULL, key, NULL, block, 32, rows);
        k->x25519(public, scalar, point, rows);
    }
}
