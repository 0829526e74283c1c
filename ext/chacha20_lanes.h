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

struct group { /* the blocks of one pass; lanes behind `used` repeat the last one and are not stored */
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

static void lane_set(struct group *g, size_t lane, const struct call *c, size_t row, size_t block)
{
    const size_t at = block * BLOCK, left = c->size - at;
    g->key[lane] = c->key[row];
    g->out[lane] = c->out[row] + at;
    g->in[lane] = c->in == NULL ? NULL : c->in[row] + at;
    g->size[lane] = left < BLOCK ? left : BLOCK;
    g->last[0][lane] = (c->counter == NULL ? 0 : c->counter[row]) + (uint32_t)block;
    for (int i = 0; i < 3; i++)
        g->last[1 + i][lane] = c->nonce == NULL ? 0 : fm_load32(c->nonce[row] + 4 * i);
}

/* The next blocks, none at the end. */
static void group_fill(struct group *g, struct place *p, const struct call *c)
{
    const size_t first = p->row;
    size_t lane = 0, row = first;
    for (; lane < LANES && p->row < c->n; lane++) {
        row = p->row;
        lane_set(g, lane, c, row, p->block);
        if (++p->block == p->blocks) {
            p->block = 0;
            p->row++;
        }
    }
    g->used = lane;
    g->one_row = row == first;
    for (; lane < LANES && g->used; lane++)
        lane_set(g, lane, c, row, p->blocks - 1);
}

static FM_FRAME void stream(const struct call *c)
{
    struct place p = {.blocks = (c->size + BLOCK - 1) / BLOCK};
    struct group groups[2];
    W start[16], x[16];

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
