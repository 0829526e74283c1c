/* BLAKE2b (RFC 7693), keyed, with salt and personalisation, one lane after the other.
 *
 * Constant time: additions, XORs and fixed rotations; the message schedule is indexed by the round only. */
#include "portable.h"

#include "blake2b_rounds.h"
#include "bytes.h"
#include "frame.h"

#define ROTATE(x, n) ((x) >> (n) | (x) << (64 - (n)))
#define MIX(a, b, c, d, x, y)                                                                                        \
    do {                                                                                                             \
        a += b + (x); d ^= a; d = ROTATE(d, 32);                                                                     \
        c += d; b ^= c; b = ROTATE(b, 24);                                                                           \
        a += b + (y); d ^= a; d = ROTATE(d, 16);                                                                     \
        c += d; b ^= c; b = ROTATE(b, 63);                                                                           \
    } while (0)

#define NOTHING(quarter) (void)0

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
    ROUNDS(NOTHING);
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
