/* BLAKE2b (RFC 7693), keyed, with salt and personalisation; lane = row. Included by a file that includes a lanes_ header first.
 * Private to ext/.
 *
 * Constant time: additions, XORs and fixed rotations; the message schedule is indexed by the round only. */
#include "blake2b_rounds.h"
#include "bytes.h"
#include "fm_kernels.h"
#include "frame.h"

/* One mixing after the other: their chains overlap by themselves, and few vectors are in use at a time. */
#define MIX(a, b, c, d, x, y)                                                                                        \
    do {                                                                                                             \
        a += x; a += b; d = V_ROTATE32(d ^ a);                                                                       \
        c += d; b = V_ROTATE24(b ^ c);                                                                               \
        a += y; a += b; d = V_ROTATE16(d ^ a);                                                                       \
        c += d; b = V_ROTATE63(b ^ c);                                                                               \
    } while (0)

struct block { /* bytes at .. at + size - 1 of the rows, zeros behind, and where their words go */
    V *m;
    const uint8_t *const *row;
    size_t at, size;
};

static inline void quarter_load(const struct block *b, size_t quarter)
{
    const size_t from = 32 * quarter, left = b->size > from ? b->size - from : 0;
    v_load_half(b->m + 4 * quarter, b->row, left > 0 ? b->at + from : 0, left < 32 ? left : 32);
}

static inline void block_load(const struct block *b)
{
    for (size_t quarter = 0; quarter < 4; quarter++)
        quarter_load(b, quarter);
}

#define LOAD_AHEAD(quarter)                                                                                          \
    do {                                                                                                             \
        if (ahead != NULL)                                                                                           \
            quarter_load(ahead, quarter);                                                                            \
    } while (0)

/* F of RFC 7693; counted is the number of bytes hashed so far, this block included. The next block is loaded between rounds: its
 * shuffles and the rounds' rotations wait for different ports. */
static FM_FRAME void compress(V h[8], const V m[16], uint64_t counted, int last, const struct block *ahead)
{
    V v[16];

    for (int i = 0; i < 8; i++) {
        v[i] = h[i];
        v[i + 8] = v_all(IV[i]);
    }
    v[12] ^= v_all(counted);
    v[14] ^= v_all(0 - (uint64_t)last);
    ROUNDS(LOAD_AHEAD);
    for (int i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
}

/* The state after the parameter block, RFC 7693 section 2.5: fan-out and depth 1, salt in words 4-5, personal in 6-7. */
static void state_set(V h[8], const struct fm_hash *shared)
{
    for (int i = 0; i < 8; i++)
        h[i] = v_all(IV[i]);
    h[0] ^= v_all((uint64_t)shared->out_size | (uint64_t)shared->key_size << 8 | (uint64_t)0x0101 << 16);
    h[4] ^= v_all(shared->salt);
    if (shared->personal != NULL) {
        h[6] ^= v_all(fm_load64(shared->personal));
        h[7] ^= v_all(fm_load64(shared->personal + 8));
    }
}

struct group { /* the rows of one pass */
    const uint8_t *key[LANES];
    const uint8_t *message[LANES];
};

/* The state before the message: after the key, if there are both. */
static FM_FRAME void hash_start(V h[8], const struct fm_hash *shared, const struct group *g)
{
    V m[16];
    const struct block key = {m, g->key, 0, shared->key_size};

    state_set(h, shared);
    if (shared->key_size == 0 || shared->message_size == 0)
        return;
    block_load(&key);
    compress(h, m, BLOCK, 0, NULL);
}

/* All blocks of the message; of an empty one the key, or a block of zeros. */
static FM_FRAME void hash_finish(V h[8], const struct fm_hash *shared, const struct group *g)
{
    const int only_key = shared->message_size == 0;
    const size_t size = only_key ? shared->key_size : shared->message_size;
    const size_t before = shared->key_size > 0 && !only_key ? BLOCK : 0;
    V m[2][16];
    struct block next = {m[0], only_key ? g->key : g->message, 0, size < BLOCK ? size : BLOCK};
    size_t at = 0;

    block_load(&next);
    for (; size - at > BLOCK; at += BLOCK) {
        const V *now = next.m;
        const size_t left = size - at - BLOCK;
        next.m = m[now == m[0]];
        next.at = at + BLOCK;
        next.size = left < BLOCK ? left : BLOCK;
        compress(h, now, before + at + BLOCK, 0, &next);
    }
    compress(h, next.m, only_key && size > 0 ? BLOCK : before + size, 1, NULL);
}

/* What it spills are the hashes, which are keys. */
static FM_FRAME void rows_store(uint8_t *const *out, const V h[8], size_t size, size_t n)
{
    v_store(out, h, size, n);
}

static int is_one_key(const struct fm_hash *shared, const uint8_t *const *key, size_t n)
{
    for (size_t i = 1; shared->key_size > 0 && i < n; i++)
        if (key[i] != key[0])
            return 0;
    return 1;
}

static inline void blake2b(const struct fm_hash *shared, uint8_t *const *out, const uint8_t *const *key,
                           const uint8_t *const *message, size_t n)
{
    static const uint8_t nothing[1];
    const int one_key = is_one_key(shared, key, n); /* its state is then made once */
    struct group g;
    V start[8], h[8];

    for (size_t first = 0; first < n; first += LANES) {
        const size_t used = n - first < LANES ? n - first : LANES;
        for (size_t i = 0; i < LANES; i++) { /* lanes behind the last row repeat it */
            const size_t row = first + (i < used ? i : used - 1);
            g.key[i] = shared->key_size == 0 ? nothing : key[row];
            g.message[i] = shared->message_size == 0 ? nothing : message[row];
        }
        if (first == 0 || !one_key)
            hash_start(start, shared, &g);
        memcpy(h, start, sizeof h);
        hash_finish(h, shared, &g);
        rows_store(out + first, h, shared->out_size, used);
    }
    if (n > 0)
        frame_burn();
    fm_wipe(start, sizeof start);
    fm_wipe(h, sizeof h);
}
