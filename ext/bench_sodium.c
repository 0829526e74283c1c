/* The comparison: Sphinx unwrapped one packet at a time with libsodium, as a good program without batches does it. The work is
 * that of unwrap.c for a packet that is forwarded to a mixnode: canonical alpha, X25519, zero check, keys, MAC, replay tag,
 * actions, blinding, X25519, LIONESS, delay. tests/bench holds both to the same bytes. */
#include <string.h>

#include "bytes.h"
#include "fm_bench.h"
#include "fm_sphinx.h"

enum { SMALL = 64, LEFT = 32 };

static const unsigned char NONCE[12];

/* fm_delay draws its words through a table of primitives; this one has the only function that it calls. */
static const struct fm_sodium *delay_sodium;

static void delay_chacha20(uint8_t *const *out, const uint8_t *const *in, const uint8_t *const *key,
                           const uint8_t *const *nonce, const uint32_t *counter, size_t size, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        memset(out[i], 0, size);
        delay_sodium->chacha20(out[i], out[i], size, NONCE, counter ? counter[i] : 0, key[i]);
    }
}

static int is_canonical(const uint8_t kx[32])
{
    static const uint8_t P[32] = {
        0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
    for (int i = 31; i >= 0; i--)
        if (kx[i] != P[i]) return kx[i] < P[i];
    return 0;
}

static void derive(const struct fm_sodium *s, uint8_t out[64], const char *personal, uint8_t number, const uint8_t shared[32])
{
    const unsigned char salt[16] = {number};
    s->blake2b(out, 64, NULL, 0, shared, 32, salt, (const unsigned char *)personal);
}

static void xor_key(uint8_t out[32], const uint8_t *left, const uint8_t *key)
{
    for (int i = 0; i < LEFT; i++) out[i] = left[i] ^ key[i];
}

static void xor_hash(const struct fm_sodium *s, uint8_t *left, const uint8_t *right, size_t size, const uint8_t *key)
{
    uint8_t hash[LEFT];
    s->blake2b(hash, LEFT, right, size, key, 64, NULL, NULL);
    xor_key(left, left, hash);
}

static void lioness_decrypt(const struct fm_sodium *s, uint8_t *block, size_t size, const uint8_t key[192])
{
    uint8_t *right = block + LEFT, stream_key[32];
    size -= LEFT;
    xor_hash(s, block, right, size, key + 128);
    xor_key(stream_key, block, key + 96);
    s->chacha20(right, right, size, NONCE, 0, stream_key);
    xor_hash(s, block, right, size, key + 32);
    xor_key(stream_key, block, key);
    s->chacha20(right, right, size, NONCE, 0, stream_key);
    s->memzero(stream_key, sizeof stream_key);
}

static void blind(const struct fm_sodium *s, uint8_t *packet, const uint8_t shared[32])
{
    uint8_t key[64], factor[32], kx[32];
    const unsigned char salt[16] = {0};
    memcpy(key, packet, 32);
    memcpy(key + 32, shared, 32);
    memcpy(kx, packet, 32);
    s->blake2b(factor, 32, NULL, 0, key, 64, salt, (const unsigned char *)"sphinx-blind-fac");
    (void)s->scalarmult(packet, factor, kx);
    s->memzero(key, sizeof key);
    s->memzero(factor, sizeof factor);
}

/* The header: 0 where the packet is dropped. shared and small are the caller's to wipe. */
static int check(const struct fm_sodium *s, const uint8_t *packet, const uint8_t *secret, const uint8_t *replay_key,
                 uint8_t shared[32], uint8_t small[SMALL], struct fm_unwrapped_one *out)
{
    uint8_t mac[FM_MAC_SIZE];
    out->verdict = FM_DROP_KX_NON_CANONICAL;
    if (!is_canonical(packet)) return 0;
    out->verdict = FM_DROP_KX_LOW_ORDER;
    if (s->scalarmult(shared, secret, packet) || s->is_zero(shared, 32)) return 0;
    derive(s, small, "sphinx-small-d-s", 0, shared);
    s->blake2b(mac, sizeof mac, packet + FM_ACTIONS_AT, FM_ACTIONS_SIZE, small, 16, NULL, NULL);
    out->verdict = FM_DROP_MAC;
    if (s->memcmp(mac, packet + FM_MAC_AT, sizeof mac)) return 0;
    s->blake2b(out->tag, FM_TAG_SIZE, shared, 32, replay_key, 32, NULL, (const unsigned char *)"sphinx-replay-tg");
    out->verdict = FM_OK;
    return 1;
}

void fm_sodium_unwrap(const struct fm_sodium *s, uint8_t *packet, size_t packet_size, const uint8_t secret[32],
                      const uint8_t replay_key[32], struct fm_unwrapped_one *out)
{
    static const struct fm_kernels words = {.chacha20 = delay_chacha20};
    uint8_t shared[32], small[SMALL], work[FM_ACTIONS_SIZE + FM_ACTIONS_PAD_MAX] = {0}, payload_key[FM_PAYLOAD_KEY_SIZE];

    if (!check(s, packet, secret, replay_key, shared, small, out)) return;
    memcpy(work, packet + FM_ACTIONS_AT, FM_ACTIONS_SIZE);
    s->chacha20(work, work, sizeof work, NONCE, 0, small + 16);
    out->next_index = fm_load16(work);
    if (out->next_index >= FM_ACTION_FORWARD_PEER) {
        out->verdict = FM_DROP_ACTION;
        return;
    }
    delay_sodium = s;
    out->delay = fm_delay(&words, small + 48);
    blind(s, packet, shared);
    memcpy(packet + FM_MAC_AT, work + 2, FM_MAC_SIZE + FM_ACTIONS_SIZE);
    for (uint8_t i = 0; i < 3; i++) derive(s, payload_key + 64 * i, "sphinx-pl-en-key", i, shared);
    lioness_decrypt(s, packet + FM_HEADER_SIZE, packet_size - FM_HEADER_SIZE, payload_key);
    s->memzero(shared, sizeof shared);
    s->memzero(small, sizeof small);
    s->memzero(payload_key, sizeof payload_key);
}
