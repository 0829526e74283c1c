/* BLAKE2b (RFC 7693), keyed, with salt and personalisation, one lane after the other.
 *
 * Constant time: additions, XORs and fixed rotations; the message schedule is indexed by the round only. */
#include "portable.h"

#include "bytes.h"
#include "frame.h"

enum { BLOCK = 128 };

static const uint64_t IV[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

#define ROTATE(x, n) ((x) >> (n) | (x) << (64 - (n)))
#define MIX(a, b, c, d, x, y)                                                                                        \
    do {                                                                                                             \
        a += b + (x); d ^= a; d = ROTATE(d, 32);                                                                     \
        c += d; b ^= c; b = ROTATE(b, 24);                                                                           \
        a += b + (y); d ^= a; d = ROTATE(d, 16);                                                                     \
        c += d; b ^= c; b = ROTATE(b, 63);                                                                           \
    } while (0)
/* A round with its row of the message schedule, spelled out so that every index is a constant. */
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, sd, se, sf)                                        \
    do {                                                                                                             \
        MIX(v[0], v[4], v[8], v[12], m[s0], m[s1]);                                                                  \
        MIX(v[1], v[5], v[9], v[13], m[s2], m[s3]);                                                                  \
        MIX(v[2], v[6], v[10], v[14], m[s4], m[s5]);                                                                 \
        MIX(v[3], v[7], v[11], v[15], m[s6], m[s7]);                                                                 \
        MIX(v[0], v[5], v[10], v[15], m[s8], m[s9]);                                                                 \
        MIX(v[1], v[6], v[11], v[12], m[sa], m[sb]);                                                                 \
        MIX(v[2], v[7], v[8], v[13], m[sc], m[sd]);                                                                  \
        MIX(v[3], v[4], v[9], v[14], m[se], m[sf]);                                                                  \
    } while (0)

/* F of RFC 7693; counted is the number of bytes hashed so far, this block included. */
static void compress(uint64_t h[8], const uint8_t block[BLOCK], uint64_t counted, int last)
{
    uint64_t v[16], m[16];

    for (int i = 0; i < 16; i++)
        m[i] = fm_load64(block + 8 * i);
    for (int i = 0; i < 8; i++) {
        v[i] = h[i];
        v[i + 8] = IV[i];
    }
    v[12] ^= counted;
    v[14] ^= 0 - (uint64_t)last;
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    for (int i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
}

/* The state after the parameter block, RFC 7693 section 2.5: fan-out and depth 1, salt in words 4-5, personal in 6-7. */
static void state_set(uint64_t h[8], const struct fm_hash *shared)
{
    memcpy(h, IV, sizeof IV);
    h[0] ^= (uint64_t)shared->out_size | (uint64_t)shared->key_size << 8 | (uint64_t)0x0101 << 16;
    h[4] ^= shared->salt;
    if (shared->personal != NULL) {
        h[6] ^= fm_load64(shared->personal);
        h[7] ^= fm_load64(shared->personal + 8);
    }
}

static void hash(const struct fm_hash *shared, uint64_t h[8], uint8_t block[BLOCK], const uint8_t *key, const uint8_t *message)
{
    size_t left = shared->message_size;
    uint64_t counted = 0;

    if (shared->key_size > 0) {
        memset(block, 0, BLOCK);
        memcpy(block, key, shared->key_size);
        counted = BLOCK;
        compress(h, block, counted, left == 0);
        if (left == 0)
            return;
    }
    for (; left > BLOCK; left -= BLOCK, message += BLOCK) {
        counted += BLOCK;
        compress(h, message, counted, 0);
    }
    memset(block, 0, BLOCK);
    if (left > 0)
        memcpy(block, message, left);
    compress(h, block, counted + left, 1);
}

static FM_FRAME void rows(const struct fm_hash *shared, uint8_t *const *out, const uint8_t *const *key,
                          const uint8_t *const *message, size_t n)
{
    uint64_t h[8];
    uint8_t block[BLOCK];

    for (size_t i = 0; i < n; i++) {
        state_set(h, shared);
        hash(shared, h, block, shared->key_size == 0 ? NULL : key[i], shared->message_size == 0 ? NULL : message[i]);
        for (int w = 0; w < 8; w++)
            h[w] = FM_LE64(h[w]);
        memcpy(out[i], h, shared->out_size);
    }
}

void fm_blake2b_portable(const struct fm_hash *shared, uint8_t *const *out, const uint8_t *const *key,
                         const uint8_t *const *message, size_t n)
{
    rows(shared, out, key, message, n);
    frame_burn();
}
