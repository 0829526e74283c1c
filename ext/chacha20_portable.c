/* ChaCha20 (RFC 8439) four blocks at a time, in the compiler's vector types: SSE2, NEON or plain words.
 *
 * Constant time: additions, XORs and fixed rotations only. */
#include "portable.h"

#include "bytes.h"
#include "frame.h"

typedef uint32_t u32x4 __attribute__((vector_size(16)));

enum { BLOCK = 64, BLOCKS = 4 };

#define ROTATE(v, n) ((v) << (n) | (v) >> (32 - (n)))
#define QUARTER(a, b, c, d)                                                                                          \
    do {                                                                                                             \
        a += b; d ^= a; d = ROTATE(d, 16);                                                                           \
        c += d; b ^= c; b = ROTATE(b, 12);                                                                           \
        a += b; d ^= a; d = ROTATE(d, 8);                                                                            \
        c += d; b ^= c; b = ROTATE(b, 7);                                                                            \
    } while (0)

/* Columns, then diagonals (RFC 8439 section 2.3), of words or of vectors of words. */
#define DOUBLE_ROUND(x)                         \
    do {                                        \
        QUARTER(x[0], x[4], x[8], x[12]);       \
        QUARTER(x[1], x[5], x[9], x[13]);       \
        QUARTER(x[2], x[6], x[10], x[14]);      \
        QUARTER(x[3], x[7], x[11], x[15]);      \
        QUARTER(x[0], x[5], x[10], x[15]);      \
        QUARTER(x[1], x[6], x[11], x[12]);      \
        QUARTER(x[2], x[7], x[8], x[13]);       \
        QUARTER(x[3], x[4], x[9], x[14]);       \
    } while (0)

static void state_set(uint32_t state[16], const uint8_t key[32], const uint8_t *nonce, uint32_t counter)
{
    static const uint8_t sigma[16] = "expand 32-byte k";
    for (int i = 0; i < 4; i++)
        state[i] = fm_load32(sigma + 4 * i);
    for (int i = 0; i < 8; i++)
        state[4 + i] = fm_load32(key + 4 * i);
    state[12] = counter;
    for (int i = 0; i < 3; i++)
        state[13 + i] = nonce ? fm_load32(nonce + 4 * i) : 0;
}

/* Four consecutive blocks of keystream; word i of block b is words[i][b]. */
static void blocks(u32x4 words[16], const uint32_t state[16])
{
    u32x4 x[16], start[16];

    for (int i = 0; i < 16; i++)
        start[i] = (u32x4){state[i], state[i], state[i], state[i]};
    start[12] += (u32x4){0, 1, 2, 3};
    for (int i = 0; i < 16; i++)
        x[i] = start[i];
    for (int round = 0; round < 10; round++)
        DOUBLE_ROUND(x);
    for (int i = 0; i < 16; i++)
        words[i] = x[i] + start[i];
}

/* The bytes of four blocks in their order. */
static void blocks_store(uint8_t stream[BLOCKS * BLOCK], const u32x4 words[16])
{
    for (int b = 0; b < BLOCKS; b++)
        for (int i = 0; i < 16; i++)
            fm_store32(stream + BLOCK * b + 4 * i, words[i][b]);
}

static void stream_apply(uint8_t *out, const uint8_t *in, const uint8_t *stream, size_t size)
{
    if (in == NULL) {
        memcpy(out, stream, size);
        return;
    }
    size_t i = 0;
    for (; i + 8 <= size; i += 8)
        fm_store64(out + i, fm_load64(in + i) ^ fm_load64(stream + i));
    for (; i < size; i++)
        out[i] = in[i] ^ stream[i];
}

/* One block where no more is needed: a mask block, a Poly1305 key, a delay. */
static void block_store(uint8_t stream[BLOCK], const uint32_t state[16])
{
    uint32_t x[16];
    memcpy(x, state, sizeof x);
    for (int round = 0; round < 10; round++)
        DOUBLE_ROUND(x);
    for (int i = 0; i < 16; i++)
        fm_store32(stream + 4 * i, x[i] + state[i]);
}

static void chacha20(uint8_t *out, const uint8_t *in, uint32_t state[16], uint8_t stream[BLOCKS * BLOCK], size_t size)
{
    while (size > 0) {
        const size_t part = size < BLOCKS * BLOCK ? size : BLOCKS * BLOCK;
        if (part <= BLOCK) {
            block_store(stream, state);
        } else {
            u32x4 words[16];
            blocks(words, state);
            blocks_store(stream, words);
        }
        stream_apply(out, in, stream, part);
        state[12] += BLOCKS;
        out += part;
        in = in == NULL ? NULL : in + part;
        size -= part;
    }
}

static FM_FRAME void rows(uint8_t *const *out, const uint8_t *const *in, const uint8_t *const *key, const uint8_t *const *nonce,
                          const uint32_t *counter, size_t size, size_t n)
{
    uint32_t state[16];
    uint8_t stream[BLOCKS * BLOCK];

    for (size_t i = 0; i < n; i++) {
        state_set(state, key[i], nonce == NULL ? NULL : nonce[i], counter == NULL ? 0 : counter[i]);
        chacha20(out[i], in == NULL ? NULL : in[i], state, stream, size);
    }
}

void fm_chacha20_portable(uint8_t *const *out, const uint8_t *const *in, const uint8_t *const *key,
                          const uint8_t *const *nonce, const uint32_t *counter, size_t size, size_t n)
{
    rows(out, in, key, nonce, counter, size, n);
    frame_burn();
}
