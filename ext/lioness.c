/* LIONESS (Anderson and Biham 1996) of ChaCha20 and keyed BLAKE2b-256: a block of any size as one permutation.
 *
 * Key: k1 32 | k2 64 | k3 32 | k4 64. Left half 32 bytes, right half the rest. Encrypting: R ^= S(L ^ k1), L ^= H(k2, R),
 * R ^= S(L ^ k3), L ^= H(k4, R); decrypting: the same backwards. S is ChaCha20 with zero nonce, H is BLAKE2b-256.
 * Constant time as its parts are: no branch depends on keys or contents. */
#include "fm_sphinx.h"

enum { LEFT = 32, K1_AT = 0, K2_AT = 32, K3_AT = 96, K4_AT = 128, HASH_KEY = 64 };

struct halves { /* of all lanes, and the 32 bytes that a pass makes for each */
    uint8_t *right[FM_BATCH_MAX];
    uint8_t *small_out[FM_BATCH_MAX];
    const uint8_t *right_in[FM_BATCH_MAX];
    const uint8_t *key[FM_BATCH_MAX];
    uint8_t small[FM_BATCH_MAX][LEFT];
};

static void halves_set(struct halves *h, uint8_t *const *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        h->right[i] = blocks[i] + LEFT;
        h->right_in[i] = blocks[i] + LEFT;
        h->small_out[i] = h->small[i];
    }
}

/* R ^= ChaCha20(key = L ^ k) */
static void stream_pass(const struct fm_kernels *k, struct halves *h, uint8_t *const *blocks, const uint8_t *const *keys,
                        size_t key_at, size_t size, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t b = 0; b < LEFT; b++)
            h->small[i][b] = blocks[i][b] ^ keys[i][key_at + b];
        h->key[i] = h->small[i];
    }
    k->chacha20(h->right, h->right_in, h->key, NULL, NULL, size - LEFT, n);
}

/* L ^= BLAKE2b-256(key = k, R) */
static void hash_pass(const struct fm_kernels *k, struct halves *h, uint8_t *const *blocks, const uint8_t *const *keys,
                      size_t key_at, size_t size, size_t n)
{
    const struct fm_hash hash = {.out_size = LEFT, .key_size = HASH_KEY, .message_size = size - LEFT};

    for (size_t i = 0; i < n; i++)
        h->key[i] = keys[i] + key_at;
    k->blake2b(&hash, h->small_out, h->key, h->right_in, n);
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; b < LEFT; b++)
            blocks[i][b] ^= h->small[i][b];
}

void fm_lioness_encrypt(const struct fm_kernels *k, uint8_t *const *blocks, const uint8_t *const *keys, size_t size, size_t n)
{
    struct halves h;

    if (n == 0)
        return;
    halves_set(&h, blocks, n);
    stream_pass(k, &h, blocks, keys, K1_AT, size, n);
    hash_pass(k, &h, blocks, keys, K2_AT, size, n);
    stream_pass(k, &h, blocks, keys, K3_AT, size, n);
    hash_pass(k, &h, blocks, keys, K4_AT, size, n);
    fm_wipe(h.small, n * LEFT);
}

void fm_lioness_decrypt(const struct fm_kernels *k, uint8_t *const *blocks, const uint8_t *const *keys, size_t size, size_t n)
{
    struct halves h;

    if (n == 0)
        return;
    halves_set(&h, blocks, n);
    hash_pass(k, &h, blocks, keys, K4_AT, size, n);
    stream_pass(k, &h, blocks, keys, K3_AT, size, n);
    hash_pass(k, &h, blocks, keys, K2_AT, size, n);
    stream_pass(k, &h, blocks, keys, K1_AT, size, n);
    fm_wipe(h.small, n * LEFT);
}
