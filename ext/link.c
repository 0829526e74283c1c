/* The link frame over the primitives table: ChaCha20-Poly1305 (RFC 8439) under a key per batch, its counter masked as
 * RFC 9001 section 5.4.4 masks packet numbers. Frames are worked on in chunks whose Poly1305 inputs stay in the first-level
 * cache; the input is a copy because associated data and lengths must stand around the ciphertext. */
#include "fm_link.h"

#include <string.h>

#include "bytes.h"

enum {
    CHUNK = 16, /* two vectors of eight lanes; 37 KB of Poly1305 inputs at most */
    SEALED_MAX = 4 + FM_JUMBO_PACKET_SIZE,
    MESSAGE_MAX = 16 + (SEALED_MAX + 15) / 16 * 16 + 16
};

static const uint8_t MASK_PERSONAL[17] = "fastmix-mask-key";
static const uint8_t BATCH_PERSONAL[17] = "fastmix-batchkey";

void fm_root_set(const struct fm_kernels *k, struct fm_root *out, const uint8_t root[32])
{
    struct fm_hash shared = {.out_size = 32, .key_size = 32, .personal = MASK_PERSONAL};
    memmove(out->root, root, 32);
    uint8_t *mask = out->mask_key;
    const uint8_t *key = out->root, *empty = out->root;
    k->blake2b(&shared, &mask, &key, &empty, 1);
}

/* keys[i] = BLAKE2b-256(roots[i], step[i] as the first four bytes of counters[i]) */
void fm_batch_keys(const struct fm_kernels *k, uint8_t *const *keys, const uint8_t *const *roots,
                   const uint8_t *const *counters, size_t n)
{
    struct fm_hash shared = {.out_size = 32, .key_size = 32, .personal = BATCH_PERSONAL, .message_size = 4};
    k->blake2b(&shared, keys, roots, counters, n);
}

void fm_batch_key(const struct fm_kernels *k, uint8_t out[32], const uint8_t root[32], uint32_t step)
{
    uint8_t bytes[4];
    const uint8_t *counter = bytes;
    fm_store32(bytes, step);
    fm_batch_keys(k, &out, &root, &counter, 1);
}

/* What a chunk of frames needs, sealing or opening. Lane i belongs to frame i; counter is step and seq as on the wire. */
struct lanes {
    size_t n, sealed_size;
    uint8_t *frame[CHUNK]; /* only written where the caller's frame is its own row */
    const uint8_t *mask_key[CHUNK], *batch_key[CHUNK];
    uint8_t nonce[CHUNK][12]; /* four zero bytes, then the counter */
    uint8_t tag[CHUNK][FM_FRAME_TAG_SIZE];
    uint8_t poly_key[CHUNK][32]; /* secret */
    uint8_t message[CHUNK][MESSAGE_MAX];
};

/* out[i] = in[i] XOR mask: hides a counter under the first bytes of the ChaCha20 block that the tag selects. */
static void mask_counters(const struct fm_kernels *k, struct lanes *l, uint8_t *const *out, const uint8_t *const *in,
                          const uint8_t *const *tags)
{
    const uint8_t *nonces[CHUNK];
    uint32_t blocks[CHUNK];
    for (size_t i = 0; i < l->n; i++) {
        blocks[i] = fm_load32(tags[i]);
        nonces[i] = tags[i] + 4;
    }
    k->chacha20(out, in, l->mask_key, nonces, blocks, 8, l->n);
}

/* RFC 8439 section 2.8: associated data, ciphertext, both padded to 16, and their lengths. */
static size_t lay_out(const struct lanes *l, uint8_t *message, const uint8_t *frame)
{
    size_t padded = (l->sealed_size + 15) & ~(size_t)15;
    memset(message, 0, 16);
    memcpy(message, frame + FM_FRAME_INDEX_AT, 4);
    memcpy(message + 16, frame + FM_FRAME_SEALED_AT, l->sealed_size);
    memset(message + 16 + l->sealed_size, 0, padded - l->sealed_size);
    fm_store64(message + 16 + padded, 4);
    fm_store64(message + 24 + padded, l->sealed_size);
    return padded + 32;
}

/* Tags of the ciphertexts in frame, under batch_key and nonce, into tag. */
static void make_tags(const struct fm_kernels *k, struct lanes *l)
{
    uint8_t *keys[CHUNK], *tags[CHUNK];
    const uint8_t *messages[CHUNK], *nonces[CHUNK];
    size_t size = 0;
    for (size_t i = 0; i < l->n; i++) {
        size = lay_out(l, l->message[i], l->frame[i]);
        keys[i] = l->poly_key[i];
        tags[i] = l->tag[i];
        messages[i] = l->message[i];
        nonces[i] = l->nonce[i];
    }
    k->chacha20(keys, NULL, l->batch_key, nonces, NULL, 32, l->n);
    k->poly1305(tags, (const uint8_t *const *)keys, messages, size, l->n);
    fm_wipe(l->poly_key, sizeof l->poly_key);
}

/* Counters into nonces, then batch keys, by the received tags. */
static void unmask(const struct fm_kernels *k, struct lanes *l, struct fm_opening *f)
{
    uint8_t *counters[CHUNK], *keys[CHUNK];
    const uint8_t *masked[CHUNK], *tags[CHUNK], *roots[CHUNK];
    for (size_t i = 0; i < l->n; i++) {
        memset(l->nonce[i], 0, 4);
        counters[i] = l->nonce[i] + 4;
        masked[i] = f[i].frame + FM_FRAME_COUNTER_AT;
        tags[i] = f[i].frame + FM_FRAME_SEALED_AT + l->sealed_size;
        roots[i] = f[i].root->root;
        keys[i] = f[i].batch_key;
        l->mask_key[i] = f[i].root->mask_key;
        l->batch_key[i] = f[i].batch_key;
        l->frame[i] = (uint8_t *)f[i].frame;
    }
    mask_counters(k, l, counters, masked, tags);
    fm_batch_keys(k, keys, roots, (const uint8_t *const *)counters, l->n);
}

static uint8_t judge(const struct lanes *l, size_t i, uint64_t counter)
{
    if (!fm_equal(l->tag[i], l->frame[i] + FM_FRAME_SEALED_AT + l->sealed_size, FM_FRAME_TAG_SIZE)) return FM_DROP_LINK_AUTH;
    if ((uint32_t)counter >= FM_COUNTER_END || counter >> 32 >= FM_COUNTER_END) return FM_DROP_LINK_EXHAUSTED;
    return FM_OK;
}

static void verify_chunk(const struct fm_kernels *k, struct lanes *l, struct fm_opening *f)
{
    unmask(k, l, f);
    make_tags(k, l);
    for (size_t i = 0; i < l->n; i++) {
        f[i].counter = fm_load64(l->nonce[i] + 4);
        f[i].verdict = judge(l, i, f[i].counter);
        if (f[i].verdict != FM_OK) fm_wipe(f[i].batch_key, sizeof f[i].batch_key);
    }
}

void fm_link_verify(const struct fm_kernels *k, struct fm_opening *f, size_t n, size_t packet_size)
{
    struct lanes l; /* not cleared: every lane writes what it reads */
    l.sealed_size = 4 + packet_size;
    for (size_t i = 0; i < n; i += l.n) {
        l.n = n - i < CHUNK ? n - i : CHUNK;
        verify_chunk(k, &l, f + i);
    }
}

/* Block 0 made the Poly1305 key, so the packet begins at block 1. */
static void crypt(const struct fm_kernels *k, uint8_t *const *out, const uint8_t *const *in, const uint8_t *const *keys,
                  uint8_t (*nonce)[12], size_t size, size_t n)
{
    const uint8_t *nonces[CHUNK];
    uint32_t blocks[CHUNK];
    for (size_t i = 0; i < n; i++) {
        nonces[i] = nonce[i];
        blocks[i] = 1;
    }
    k->chacha20(out, in, keys, nonces, blocks, size, n);
}

static void make_nonce(uint8_t nonce[12], uint64_t counter)
{
    memset(nonce, 0, 4);
    fm_store64(nonce + 4, counter);
}

static void decrypt_chunk(const struct fm_kernels *k, struct fm_opening *const *f, size_t n, size_t sealed_size)
{
    uint8_t *out[CHUNK], nonce[CHUNK][12];
    const uint8_t *in[CHUNK], *keys[CHUNK];
    for (size_t i = 0; i < n; i++) {
        out[i] = f[i]->row + FM_FRAME_SEALED_AT;
        in[i] = f[i]->frame + FM_FRAME_SEALED_AT;
        keys[i] = f[i]->batch_key;
        make_nonce(nonce[i], f[i]->counter);
    }
    crypt(k, out, in, keys, nonce, sealed_size, n);
    for (size_t i = 0; i < n; i++) {
        if (out[i][1] | out[i][2] | out[i][3]) f[i]->verdict = FM_DROP_LINK_FLAGS;
        fm_wipe(f[i]->batch_key, sizeof f[i]->batch_key);
    }
}

void fm_link_decrypt(const struct fm_kernels *k, struct fm_opening *f, size_t n, size_t packet_size)
{
    struct fm_opening *chosen[CHUNK];
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (f[i].verdict == FM_OK) chosen[m++] = &f[i];
        else fm_wipe(f[i].batch_key, sizeof f[i].batch_key);
        if (m == CHUNK || (m && i + 1 == n)) {
            decrypt_chunk(k, chosen, m, 4 + packet_size);
            m = 0;
        }
    }
}

static void seal_chunk(const struct fm_kernels *k, struct lanes *l, const struct fm_sealing *f)
{
    uint8_t *sealed[CHUNK], *masked[CHUNK];
    const uint8_t *counters[CHUNK], *tags[CHUNK];
    for (size_t i = 0; i < l->n; i++) {
        uint8_t *row = l->frame[i] = f[i].row;
        fm_store32(row + FM_FRAME_INDEX_AT, f[i].receiver_index);
        memset(row + FM_FRAME_SEALED_AT + 1, 0, 3); /* flags and padding */
        make_nonce(l->nonce[i], f[i].counter);
        l->mask_key[i] = f[i].root->mask_key;
        l->batch_key[i] = f[i].batch_key;
        sealed[i] = row + FM_FRAME_SEALED_AT;
        masked[i] = row + FM_FRAME_COUNTER_AT;
        counters[i] = l->nonce[i] + 4;
        tags[i] = l->tag[i];
    }
    crypt(k, sealed, (const uint8_t *const *)sealed, l->batch_key, l->nonce, l->sealed_size, l->n);
    make_tags(k, l);
    for (size_t i = 0; i < l->n; i++) memcpy(l->frame[i] + FM_FRAME_SEALED_AT + l->sealed_size, l->tag[i], FM_FRAME_TAG_SIZE);
    mask_counters(k, l, masked, counters, tags);
}

void fm_link_seal(const struct fm_kernels *k, const struct fm_sealing *f, size_t n, size_t packet_size)
{
    struct lanes l; /* not cleared: every lane writes what it reads */
    l.sealed_size = 4 + packet_size;
    for (size_t i = 0; i < n; i += l.n) {
        l.n = n - i < CHUNK ? n - i : CHUNK;
        seal_chunk(k, &l, f + i);
    }
}
