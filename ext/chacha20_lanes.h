/* ChaCha20 (RFC 8439) over a flat list of blocks: lane = one block of one row, so that 64 rows of one block cost as little a
 * block as one row of 64. Included by a file that defines LANES, the vector W of LANES words, `keys_load`, `blocks_apply` and
 * `QUARTERS(a, b, c, d)`, four quarter rounds. Private to ext/.
 *
 * Constant time: additions, XORs and fixed rotations; sizes alone decide on branches. */
#include "bytes.h"
#include "fm_kernels.h"
#include "frame.h"

enum { BLOCK = 64 };

struct call { /* what the caller gave */
    uint8_t *const *out;
    const uint8_t *const *in;
    const uint8_t *const *key;
    const uint8_t *const *nonce;
    const uint32_t *counter;
    size_t size, n;
};

struct group { /* the blocks of one pass; lanes behind `used` are not stored */
    size_t used;
    int one_row;
    const uint8_t *key[LANES];
    uint8_t *out[LANES];
    const uint8_t *in[LANES];
    size_t size[LANES];
    uint32_t last[4][LANES] __attribute__((aligned(64))); /* words 12 to 15 of each lane's state */
};

struct place { /* the next block */
    size_t row, block, blocks; /* blocks: of every row */
};

static void blocks_apply(const struct group *g, const W x[16]);
static void keys_load(W key[8], const struct group *g);

static inline W all(uint32_t word)
{
    return word - (W){0};
}

/* Words 0 to 3 and 12 to 15; the key is between them. */
static inline void state_start(W start[16], const struct group *g)
{
    start[0] = all(0x61707865);
    start[1] = all(0x3320646e);
    start[2] = all(0x79622d32);
    start[3] = all(0x6b206574);
    for (int i = 0; i < 4; i++)
        memcpy(&start[12 + i], g->last[i], sizeof(W));
}

static inline void key_spread(W key[8], const uint8_t *one)
{
    for (int i = 0; i < 8; i++)
        key[i] = all(fm_load32(one + 4 * i));
}

static inline void rounds(W x[16], const W start[16])
{
    memcpy(x, start, 16 * sizeof(W));
    for (int round = 0; round < 10; round++) {
        QUARTERS(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        QUARTERS(0, 5, 10, 15, 1, 6, 11, 12, 2, 7, 8, 13, 3, 4, 9, 14);
    }
    for (int i = 0; i < 16; i++)
        x[i] += start[i];
}

/* k blocks of one row, from lane on. */
static inline void row_fill(struct group *g, size_t lane, size_t k, const struct call *c, const struct place *p)
{
    const size_t at = p->block * BLOCK, left = c->size - at;
    const uint32_t counter = (c->counter == NULL ? 0 : c->counter[p->row]) + (uint32_t)p->block;
    const uint8_t *key = c->key[p->row], *in = c->in == NULL ? NULL : c->in[p->row] + at;
    uint8_t *out = c->out[p->row] + at;
    for (size_t i = 0; i < k; i++) {
        g->key[lane + i] = key;
        g->out[lane + i] = out + i * BLOCK;
        g->in[lane + i] = in == NULL ? NULL : in + i * BLOCK;
        g->size[lane + i] = BLOCK;
        g->last[0][lane + i] = counter + (uint32_t)i;
    }
    if (k * BLOCK > left)
        g->size[lane + k - 1] = left % BLOCK;
    for (int word = 0; c->nonce != NULL && word < 3; word++) {
        const uint32_t value = fm_load32(c->nonce[p->row] + 4 * word);
        for (size_t i = 0; i < k; i++)
            g->last[1 + word][lane + i] = value;
    }
}

/* The next blocks, none at the end. Lanes without a block have a key, and numbers that do not matter. */
static void group_fill(struct group *g, struct place *p, const struct call *c)
{
    const size_t first = p->row;
    size_t lane = 0;
    g->one_row = 1;
    while (lane < LANES && p->row < c->n) {
        const size_t room = LANES - lane, blocks = p->blocks - p->block, k = blocks < room ? blocks : room;
        if (k == LANES) /* constants, for which the loops unroll */
            row_fill(g, 0, LANES, c, p);
        else if (k == 1)
            row_fill(g, lane, 1, c, p);
        else
            row_fill(g, lane, k, c, p);
        g->one_row &= p->row == first;
        lane += k;
        p->block += k;
        if (p->block == p->blocks) {
            p->block = 0;
            p->row++;
        }
    }
    g->used = lane;
    for (; lane < LANES; lane++)
        g->key[lane] = c->key[0];
}

static FM_FRAME void stream(const struct call *c)
{
    struct place p = {.blocks = (c->size + BLOCK - 1) / BLOCK};
    struct group groups[2];
    W start[16], x[16];

    memset(groups[0].last, 0, sizeof groups[0].last); /* zero nonces stay */
    memset(groups[1].last, 0, sizeof groups[1].last);
    group_fill(&groups[0], &p, c);
    for (size_t number = 0; groups[number % 2].used; number++) {
        const struct group *g = &groups[number % 2];
        group_fill(&groups[(number + 1) % 2], &p, c); /* well before its words are loaded: they are stored singly */
        state_start(start, g);
        if (g->one_row)
            key_spread(start + 4, g->key[0]);
        else
            keys_load(start + 4, g);
        rounds(x, start);
        blocks_apply(g, x);
    }
}

static inline void chacha20(const struct call *c)
{
    if (c->size == 0 || c->n == 0)
        return;
    stream(c);
    frame_burn();
}
