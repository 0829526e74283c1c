/* The primitives of a table, LIONESS, link frames, scalars and key pairs. */
#include <string.h>

#include "subjects.h"

enum { BLOCK = FM_WAN_DATA_SIZE + FM_PAYLOAD_TAG_SIZE, FRAME = FM_WAN_PACKET_SIZE + FM_FRAME_OVERHEAD, KEY_MAX = 64, STEP = 5 };

struct product { /* of X25519 */
    size_t n;
    uint8_t scalar[LANES_MAX][32], point[LANES_MAX][32], out[LANES_MAX][32];
};

static void product_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    struct product *p = state;
    source_fill(secrets, p->scalar, sizeof p->scalar);
    public_fill(p->point, sizeof p->point);
}

/* The point is the secret; a zero one is of low order, and its lane inverts zero. */
static void product_make_points(const struct fm_kernels *k, void *state, struct source *secrets)
{
    struct product *p = state;
    source_fill(secrets, p->point, sizeof p->point);
    public_fill(p->scalar, sizeof p->scalar);
}

static void product_run(const struct fm_kernels *k, void *state)
{
    struct product *p = state;
    uint8_t *out[LANES_MAX];
    const uint8_t *scalar[LANES_MAX], *point[LANES_MAX];
    for (size_t i = 0; i < p->n; i++) {
        out[i] = p->out[i];
        scalar[i] = p->scalar[i];
        point[i] = p->point[i];
    }
    k->x25519(out, scalar, point, p->n);
}

struct keyed { /* a block under a key */
    size_t n;
    uint8_t key[LANES_MAX][FM_PAYLOAD_KEY_SIZE];
    uint8_t block[LANES_MAX][BLOCK], out[LANES_MAX][BLOCK];
};

struct keyed_pointers {
    const uint8_t *key[LANES_MAX];
    uint8_t *block[LANES_MAX], *out[LANES_MAX];
};

static void keyed_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    struct keyed *s = state;
    source_fill(secrets, s->key, sizeof s->key);
    source_fill(secrets, s->block, sizeof s->block);
}

static struct keyed_pointers keyed_pointers(struct keyed *s)
{
    struct keyed_pointers p;
    for (size_t i = 0; i < s->n; i++) {
        p.key[i] = s->key[i];
        p.block[i] = s->block[i];
        p.out[i] = s->out[i];
    }
    return p;
}

static void chacha20_run(const struct fm_kernels *k, void *state)
{
    struct keyed *s = state;
    struct keyed_pointers p = keyed_pointers(s);
    k->chacha20(p.out, (const uint8_t *const *)p.block, p.key, NULL, NULL, BLOCK, s->n);
}

static void poly1305_run(const struct fm_kernels *k, void *state)
{
    struct keyed *s = state;
    struct keyed_pointers p = keyed_pointers(s);
    k->poly1305(p.out, p.key, (const uint8_t *const *)p.block, BLOCK, s->n);
}

static void blake2b_run(const struct fm_kernels *k, void *state)
{
    const struct fm_hash hash = {.out_size = 64, .key_size = KEY_MAX, .message_size = BLOCK};
    struct keyed *s = state;
    struct keyed_pointers p = keyed_pointers(s);
    k->blake2b(&hash, p.out, p.key, (const uint8_t *const *)p.block, s->n);
}

static void lioness_encrypt_run(const struct fm_kernels *k, void *state)
{
    struct keyed *s = state;
    struct keyed_pointers p = keyed_pointers(s);
    fm_lioness_encrypt(k, p.block, p.key, BLOCK, s->n);
}

static void lioness_decrypt_run(const struct fm_kernels *k, void *state)
{
    struct keyed *s = state;
    struct keyed_pointers p = keyed_pointers(s);
    fm_lioness_decrypt(k, p.block, p.key, BLOCK, s->n);
}

struct frames {
    size_t n;
    struct fm_root root[LANES_MAX];
    uint8_t batch_key[LANES_MAX][32];
    uint8_t row[LANES_MAX][FRAME]; /* plain, then sealed */
    uint8_t opened[LANES_MAX][FRAME];
    struct fm_opening opening[LANES_MAX];
};

/* Roots with their mask keys, and batch keys. */
#define FRAME_KEYS offsetof(struct frames, root), offsetof(struct frames, row) - offsetof(struct frames, root)

static void frames_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    struct frames *f = state;
    source_fill(secrets, f->root, sizeof f->root);
    source_fill(secrets, f->row, sizeof f->row);
    for (size_t i = 0; i < LANES_MAX; i++) {
        memset(f->row[i], 0, FM_FRAME_PACKET_AT);
        fm_root_set(k, &f->root[i], f->root[i].root);
        fm_batch_key(k, f->batch_key[i], f->root[i].root, STEP);
    }
}

/* The keys of links as a node derives them: what is derived is itself poisoned. */
static void roots_run(const struct fm_kernels *k, void *state)
{
    struct frames *f = state;
    for (size_t i = 0; i < f->n; i++) {
        fm_root_set(k, &f->root[i], f->root[i].root);
        fm_batch_key(k, f->row[i], f->root[i].root, STEP);
    }
}

static void seal_run(const struct fm_kernels *k, void *state)
{
    struct frames *f = state;
    struct fm_sealing sealing[LANES_MAX];
    for (size_t i = 0; i < f->n; i++) {
        sealing[i] = (struct fm_sealing){.row = f->row[i], .root = &f->root[i], .batch_key = f->batch_key[i],
                                         .receiver_index = 7, .counter = FM_COUNTER(STEP, 1000 + i)};
    }
    fm_link_seal(k, sealing, f->n, FM_WAN_PACKET_SIZE);
}

/* Sealed under all lanes' keys, whatever the number of lanes will be. */
static void sealed_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    frames_make(k, state, secrets);
    ((struct frames *)state)->n = LANES_MAX;
    seal_run(k, state);
}

static void open_run(const struct fm_kernels *k, void *state)
{
    struct frames *f = state;
    for (size_t i = 0; i < f->n; i++) {
        f->opening[i].frame = f->row[i];
        f->opening[i].root = &f->root[i];
        f->opening[i].row = f->opened[i];
    }
    fm_link_verify(k, f->opening, f->n, FM_WAN_PACKET_SIZE);
    fm_link_decrypt(k, f->opening, f->n, FM_WAN_PACKET_SIZE);
    for (size_t i = 0; i < f->n; i++) require(f->opening[i].verdict == FM_OK, "a frame was not opened");
}

struct scalars {
    size_t n;
    uint8_t factor[LANES_MAX][2][32];
    uint8_t out[LANES_MAX][2][32];
};

static void scalars_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    struct scalars *s = state;
    source_fill(secrets, s->factor, sizeof s->factor);
    for (size_t i = 0; i < LANES_MAX; i++) {
        s->factor[i][0][0] |= 1;     /* not zero */
        s->factor[i][0][31] &= 0x0f; /* below the group's order */
    }
}

static void scalars_run(const struct fm_kernels *k, void *state)
{
    struct scalars *s = state;
    for (size_t i = 0; i < s->n; i++) {
        fm_scalar_multiply(s->out[i][0], s->factor[i][0], s->factor[i][1]);
        fm_scalar_clamped(s->out[i][1], s->out[i][0]);
    }
}

struct keypairs {
    size_t n;
    uint8_t seed[32];
    uint8_t secret[LANES_MAX][32], public[LANES_MAX][32];
};

static void keypairs_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    source_fill(secrets, ((struct keypairs *)state)->seed, 32);
}

static void keypairs_run(const struct fm_kernels *k, void *state)
{
    struct keypairs *s = state;
    fm_keypairs(k, s->seed, s->secret[0], s->public[0], s->n);
}

struct chains {
    size_t n;
    uint8_t state[LANES_MAX][32];
    struct fm_chain chain;
    uint8_t secret[LANES_MAX][32], public[LANES_MAX][32], sealed[LANES_MAX][FM_CHAIN_SEALED_SIZE];
};

static void chains_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    source_fill(secrets, ((struct chains *)state)->state, sizeof ((struct chains *)state)->state);
}

/* Each lane's state also seals the chain that it begins. */
static void chains_run(const struct fm_kernels *k, void *state)
{
    static const uint8_t id[FM_CHAIN_ID_SIZE], nonce[12];
    struct chains *c = state;
    for (size_t i = 0; i < c->n; i++) {
        fm_chain_begin(&c->chain, i, c->state[i], id);
        fm_chain_publics(k, &c->chain, c->public[i], 1);
        fm_chain_advance(k, &c->chain, 2);
        fm_chain_secret(k, &c->chain, c->secret[i]);
        fm_chain_seal(k, &c->chain, c->sealed[i], c->state[i], nonce, NULL, 0);
    }
    fm_chain_wipe(&c->chain);
}

struct comparison {
    size_t n;
    uint8_t given[LANES_MAX][32], expected[LANES_MAX][32];
    uint32_t n_equal;
};

static void comparison_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    source_fill(secrets, ((struct comparison *)state)->given, sizeof((struct comparison *)state)->given);
}

/* Fixed secrets are equal to what is expected, random ones differ from their first byte on. */
static void comparison_run(const struct fm_kernels *k, void *state)
{
    struct comparison *c = state;
    for (size_t i = 0; i < c->n; i++) c->n_equal += (uint32_t)fm_equal(c->given[i], c->expected[i], 32);
}

#define SUBJECT(name, type, secret, result, make, run) \
    {name, sizeof(struct type), BYTES_OF(struct type, secret), BYTES_OF(struct type, result), make, NULL, run}
/* Key and contents are secret. */
#define KEYED(name) \
    {#name, sizeof(struct keyed), offsetof(struct keyed, key), offsetof(struct keyed, out) - offsetof(struct keyed, key), \
     BYTES_OF(struct keyed, out), keyed_make, NULL, name##_run}
#define FRAMES(name, result, make, run) \
    {name, sizeof(struct frames), FRAME_KEYS, BYTES_OF(struct frames, result), make, NULL, run}

const struct subject PRIMITIVES[] = {
    SUBJECT("x25519", product, scalar, out, product_make, product_run),
    SUBJECT("x25519_point", product, point, out, product_make_points, product_run),
    KEYED(chacha20),
    KEYED(poly1305),
    KEYED(blake2b),
    SUBJECT("lioness_encrypt", keyed, key, block, keyed_make, lioness_encrypt_run),
    SUBJECT("lioness_decrypt", keyed, key, block, keyed_make, lioness_decrypt_run),
    FRAMES("link_keys", row, frames_make, roots_run),
    FRAMES("link_seal", row, frames_make, seal_run),
    FRAMES("link_open", opened, sealed_make, open_run),
    SUBJECT("scalar", scalars, factor, out, scalars_make, scalars_run),
    SUBJECT("equal", comparison, given, given, comparison_make, comparison_run), /* its answer is declared */
    SUBJECT("keypairs", keypairs, seed, public, keypairs_make, keypairs_run),
    SUBJECT("chain", chains, state, secret, chains_make, chains_run),
    {NULL},
};
