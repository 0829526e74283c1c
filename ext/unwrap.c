/* Unwrapping a batch of Sphinx packets in place, in two parts with the replay check between them. fastmix/reference/sphinx.py is
 * the twin; docs/wire-format.md has the bytes.
 *
 * Each stage is one call of a primitive over all lanes that are still OK. Constant time: each test (canonical kx_public, zero
 * shared secret, MAC, payload tag) reads all its bytes and gives a verdict; only that verdict, and the decrypted routing action,
 * which the node's behaviour shows anyway, decide on branches and on which lanes go on. */
#include "fm_sphinx.h"

#include "bytes.h"
#include "delay.h"

enum {
    MAC_KEY_AT = 0,
    ACTIONS_KEY_AT = 16,
    DELAY_SEED_AT = 48,
    SMALL_SIZE = 64,
    SHARED_SIZE = 32,
    CODE_SIZE = 2,
    ACTIONS_WORK = FM_ACTIONS_SIZE + FM_ACTIONS_PAD_MAX,
    BLINDING_KEY = FM_KX_PUBLIC_SIZE + SHARED_SIZE,
};

static const uint8_t PERSONAL_SMALL[] = "sphinx-small-d-s";
static const uint8_t PERSONAL_PAYLOAD[] = "sphinx-pl-en-key";
static const uint8_t PERSONAL_BLINDING[] = "sphinx-blind-fac";
static const uint8_t PERSONAL_TAG[] = "sphinx-replay-tg";

struct batch { /* the call's arguments, the positions that a stage works on, and room for their pointers */
    const struct fm_kernels *k;
    const struct fm_unwrap *u;
    const uint32_t *slots;
    size_t n;
    uint16_t at[FM_BATCH_MAX];
    uint8_t *out[FM_BATCH_MAX];
    const uint8_t *a[FM_BATCH_MAX];
    const uint8_t *b[FM_BATCH_MAX];
};

static uint8_t *packet_of(const struct batch *w, size_t position)
{
    return w->u->packets + (size_t)w->slots[position] * w->u->stride;
}

static uint8_t *verdict_of(const struct batch *w, size_t position)
{
    return &w->u->columns.verdict[w->slots[position]];
}

static uint16_t action_of(const struct batch *w, size_t position)
{
    return w->u->columns.action[w->slots[position]];
}

static void batch_start(struct batch *w, const struct fm_kernels *k, const struct fm_unwrap *u, const uint32_t *slots, size_t n)
{
    w->k = k;
    w->u = u;
    w->slots = slots;
    w->n = n;
    for (size_t i = 0; i < n; i++)
        w->at[i] = (uint16_t)i;
}

/* Only lanes that are still OK go on. */
static void batch_keep_ok(struct batch *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->n; i++)
        if (*verdict_of(w, w->at[i]) == FM_OK)
            w->at[kept++] = w->at[i];
    w->n = kept;
}

/* 1 where the little-endian number is below 2^255 - 19, so encoded in the one way that counts; the top bit makes it larger. */
static uint64_t kx_is_canonical(const uint8_t kx[32])
{
    /* x + 19 reaches 2^255 exactly where x >= p: add with carries and look at the last word */
    unsigned __int128 sum = (unsigned __int128)fm_load64(kx) + 19;
    sum = fm_load64(kx + 8) + (sum >> 64);
    sum = fm_load64(kx + 16) + (sum >> 64);
    sum = fm_load64(kx + 24) + (sum >> 64);
    const uint64_t high = (uint64_t)(sum >> 63); /* 0 to 3 */
    return 1 ^ ((high | high >> 1) & 1);
}

static void check_canonical(struct batch *w)
{
    for (size_t i = 0; i < w->n; i++)
        *verdict_of(w, i) = kx_is_canonical(packet_of(w, i)) ? FM_OK : FM_DROP_KX_NON_CANONICAL;
    batch_keep_ok(w);
}

static void check_shared(struct batch *w)
{
    static const uint8_t zero[SHARED_SIZE];
    struct fm_unwrap_scratch *scratch = w->u->scratch;

    for (size_t i = 0; i < w->n; i++) {
        w->out[i] = scratch->shared[w->at[i]];
        w->a[i] = w->u->secret;
        w->b[i] = packet_of(w, w->at[i]);
    }
    w->k->x25519(w->out, w->a, w->b, w->n);
    for (size_t i = 0; i < w->n; i++)
        if (fm_equal(scratch->shared[w->at[i]], zero, SHARED_SIZE))
            *verdict_of(w, w->at[i]) = FM_DROP_KX_LOW_ORDER;
    batch_keep_ok(w);
}

/* One keyed BLAKE2b of the empty message for each lane, key = shared secret. */
static void derive(struct batch *w, const uint8_t *personal, uint64_t salt)
{
    const struct fm_hash hash = {.out_size = 64, .key_size = SHARED_SIZE, .salt = salt, .personal = personal};

    for (size_t i = 0; i < w->n; i++)
        w->a[i] = w->u->scratch->shared[w->at[i]];
    w->k->blake2b(&hash, w->out, w->a, NULL, w->n);
}

static void derive_small(struct batch *w)
{
    for (size_t i = 0; i < w->n; i++)
        w->out[i] = w->u->scratch->small[w->at[i]];
    derive(w, PERSONAL_SMALL, 0);
}

static void check_mac(struct batch *w)
{
    const struct fm_hash hash = {.out_size = FM_MAC_SIZE, .key_size = FM_MAC_SIZE, .message_size = FM_ACTIONS_SIZE};
    struct fm_unwrap_scratch *scratch = w->u->scratch;

    for (size_t i = 0; i < w->n; i++) {
        w->out[i] = scratch->work[w->at[i]];
        w->a[i] = scratch->small[w->at[i]] + MAC_KEY_AT;
        w->b[i] = packet_of(w, w->at[i]) + FM_ACTIONS_AT;
    }
    w->k->blake2b(&hash, w->out, w->a, w->b, w->n);
    for (size_t i = 0; i < w->n; i++)
        if (!fm_equal(w->out[i], packet_of(w, w->at[i]) + FM_MAC_AT, FM_MAC_SIZE))
            *verdict_of(w, w->at[i]) = FM_DROP_MAC;
    batch_keep_ok(w);
}

/* With a point of low order added to it, kx_public has the same shared secret and MAC here, but not at the next hop: the packet
 * dies there, which marks it. After the MAC, so that rubbish costs nothing more. */
static void check_subgroup(struct batch *w)
{
    uint8_t in[FM_BATCH_MAX];

    for (size_t i = 0; i < w->n; i++)
        w->a[i] = packet_of(w, w->at[i]);
    w->k->subgroup(in, w->a, w->n);
    for (size_t i = 0; i < w->n; i++)
        if (!in[i])
            *verdict_of(w, w->at[i]) = FM_DROP_KX_SUBGROUP;
    batch_keep_ok(w);
}

/* Of the shared secret, never of packet bytes: many packets have the same one. */
static void tag_write(struct batch *w)
{
    const struct fm_hash hash = {
        .out_size = FM_TAG_SIZE, .key_size = 32, .personal = PERSONAL_TAG, .message_size = SHARED_SIZE};

    for (size_t i = 0; i < w->n; i++) {
        w->out[i] = w->u->columns.tag + (size_t)w->slots[w->at[i]] * FM_TAG_SIZE;
        w->a[i] = w->u->replay_key;
        w->b[i] = w->u->scratch->shared[w->at[i]];
    }
    w->k->blake2b(&hash, w->out, w->a, w->b, w->n);
}

void fm_unwrap_check(const struct fm_kernels *k, const struct fm_unwrap *u, const uint32_t *slots, size_t n)
{
    struct batch w;

    batch_start(&w, k, u, slots, n);
    check_canonical(&w);
    check_shared(&w);
    derive_small(&w);
    check_mac(&w);
    if (u->strict_kx)
        check_subgroup(&w);
    tag_write(&w);
}

static void actions_decrypt(struct batch *w)
{
    struct fm_unwrap_scratch *scratch = w->u->scratch;

    for (size_t i = 0; i < w->n; i++) {
        uint8_t *work = scratch->work[w->at[i]];
        memcpy(work, packet_of(w, w->at[i]) + FM_ACTIONS_AT, FM_ACTIONS_SIZE);
        memset(work + FM_ACTIONS_SIZE, 0, FM_ACTIONS_PAD_MAX);
        w->out[i] = work;
        w->a[i] = work;
        w->b[i] = scratch->small[w->at[i]] + ACTIONS_KEY_AT;
    }
    w->k->chacha20(w->out, w->a, w->b, NULL, NULL, ACTIONS_WORK, w->n);
}

/* The next hop's mac and actions, from the decrypted ones behind code and peer id. */
static void header_shift(uint8_t *packet, const uint8_t *rest)
{
    memcpy(packet + FM_MAC_AT, rest, FM_MAC_SIZE + FM_ACTIONS_SIZE);
}

/* The first action's code and operands into the columns; a forward's header moves on. Anything else unknown is dropped. */
static void action_decode(struct batch *w, size_t position)
{
    const struct fm_columns *c = &w->u->columns;
    const size_t slot = w->slots[position];
    const uint8_t *work = w->u->scratch->work[position], *operand = work + CODE_SIZE;
    uint8_t *peer_id = c->peer_id + slot * FM_PEER_ID_SIZE, *surb_id = c->surb_id + slot * FM_SURB_ID_SIZE;
    const uint16_t code = fm_load16(work);

    memset(peer_id, 0, FM_PEER_ID_SIZE);
    memset(surb_id, 0, FM_SURB_ID_SIZE);
    c->action[slot] = code;
    c->delay[slot] = 0;
    c->next_index[slot] = code < FM_ACTION_FORWARD_PEER ? code : 0;
    if (code < FM_ACTION_FORWARD_PEER) {
        header_shift(packet_of(w, position), operand);
    } else if (code == FM_ACTION_FORWARD_PEER) {
        memcpy(peer_id, operand, FM_PEER_ID_SIZE);
        header_shift(packet_of(w, position), operand + FM_PEER_ID_SIZE);
    } else if (code == FM_ACTION_DELIVER_REPLY || code == FM_ACTION_COVER_ID) {
        memcpy(surb_id, operand, FM_SURB_ID_SIZE);
    } else if (code > FM_ACTION_COVER_ID) {
        *verdict_of(w, position) = FM_DROP_ACTION;
    }
}

/* The batch of the OK lanes whose action is one of first..last. */
static void batch_of_actions(struct batch *some, const struct batch *all, uint16_t first, uint16_t last)
{
    some->k = all->k;
    some->u = all->u;
    some->slots = all->slots;
    some->n = 0;
    for (size_t i = 0; i < all->n; i++) {
        const uint16_t action = action_of(all, all->at[i]);
        if (action >= first && action <= last)
            some->at[some->n++] = all->at[i];
    }
}

/* kx_public = X25519(clamp(BLAKE2b-256(key = kx_public | shared)), kx_public); work holds key, then factor. */
static void kx_blind(struct batch *w)
{
    const struct fm_hash hash = {.out_size = 32, .key_size = BLINDING_KEY, .personal = PERSONAL_BLINDING};

    for (size_t i = 0; i < w->n; i++) {
        uint8_t *work = w->u->scratch->work[w->at[i]];
        memcpy(work, packet_of(w, w->at[i]), FM_KX_PUBLIC_SIZE);
        memcpy(work + FM_KX_PUBLIC_SIZE, w->u->scratch->shared[w->at[i]], SHARED_SIZE);
        w->a[i] = work;
        w->out[i] = work + BLINDING_KEY;
    }
    w->k->blake2b(&hash, w->out, w->a, NULL, w->n);
    for (size_t i = 0; i < w->n; i++) {
        w->a[i] = w->out[i];
        w->b[i] = w->u->scratch->work[w->at[i]];
        w->out[i] = packet_of(w, w->at[i]);
    }
    w->k->x25519(w->out, w->a, w->b, w->n);
}

static void payload_decrypt(struct batch *w)
{
    struct fm_unwrap_scratch *scratch = w->u->scratch;

    for (uint64_t salt = 0; salt < FM_PAYLOAD_KEY_SIZE / 64; salt++) {
        for (size_t i = 0; i < w->n; i++)
            w->out[i] = scratch->payload_key[w->at[i]] + 64 * salt;
        derive(w, PERSONAL_PAYLOAD, salt);
    }
    for (size_t i = 0; i < w->n; i++) {
        w->out[i] = packet_of(w, w->at[i]) + FM_HEADER_SIZE;
        w->a[i] = scratch->payload_key[w->at[i]];
    }
    fm_lioness_decrypt(w->k, w->out, w->a, w->u->payload_size, w->n);
}

static void payload_tag_check(struct batch *w)
{
    static const uint8_t zero[FM_PAYLOAD_TAG_SIZE];
    const size_t tag_at = FM_HEADER_SIZE + w->u->payload_size - FM_PAYLOAD_TAG_SIZE;

    for (size_t i = 0; i < w->n; i++)
        if (!fm_equal(packet_of(w, w->at[i]) + tag_at, zero, FM_PAYLOAD_TAG_SIZE))
            *verdict_of(w, w->at[i]) = FM_DROP_PAYLOAD_TAG;
    batch_keep_ok(w);
}

/* The payload field to the packet's start, zeros behind it. */
static void payload_deliver(const struct batch *w)
{
    for (size_t i = 0; i < w->n; i++) {
        uint8_t *packet = packet_of(w, w->at[i]);
        memmove(packet, packet + FM_HEADER_SIZE, w->u->payload_size);
        memset(packet + w->u->payload_size, 0, FM_HEADER_SIZE);
    }
}

/* A cover packet ends here; nothing of it stays. */
static void cover_absorb(const struct batch *w)
{
    for (size_t i = 0; i < w->n; i++)
        memset(packet_of(w, w->at[i]), 0, FM_HEADER_SIZE + w->u->payload_size);
}

static void delay_write(struct batch *w)
{
    double delay[FM_BATCH_MAX];

    for (size_t i = 0; i < w->n; i++)
        w->a[i] = w->u->scratch->small[w->at[i]] + DELAY_SEED_AT;
    fm_delay_batch(w->k, delay, w->a, w->n);
    for (size_t i = 0; i < w->n; i++)
        w->u->columns.delay[w->slots[w->at[i]]] = delay[i];
}

/* By kind of action; codes are ordered forward, forward to peer, deliver request, deliver reply, cover, cover with id. */
static void actions_apply(const struct batch *all)
{
    struct batch w;

    batch_of_actions(&w, all, 0, FM_ACTION_FORWARD_PEER);
    delay_write(&w);
    kx_blind(&w);
    batch_of_actions(&w, all, 0, FM_ACTION_DELIVER_REQUEST);
    payload_decrypt(&w);
    batch_of_actions(&w, all, FM_ACTION_DELIVER_REQUEST, FM_ACTION_DELIVER_REQUEST);
    payload_tag_check(&w);
    payload_deliver(&w);
    batch_of_actions(&w, all, FM_ACTION_DELIVER_REPLY, FM_ACTION_DELIVER_REPLY);
    payload_deliver(&w);
    batch_of_actions(&w, all, FM_ACTION_COVER, FM_ACTION_COVER_ID);
    cover_absorb(&w);
}

static void scratch_wipe(struct fm_unwrap_scratch *scratch, size_t n)
{
    fm_wipe(scratch->shared, n * sizeof scratch->shared[0]);
    fm_wipe(scratch->small, n * sizeof scratch->small[0]);
    fm_wipe(scratch->payload_key, n * sizeof scratch->payload_key[0]);
    fm_wipe(scratch->work, n * sizeof scratch->work[0]);
}

void fm_unwrap_apply(const struct fm_kernels *k, const struct fm_unwrap *u, const uint32_t *slots, size_t n)
{
    struct batch w;

    batch_start(&w, k, u, slots, n);
    batch_keep_ok(&w);
    actions_decrypt(&w);
    for (size_t i = 0; i < w.n; i++)
        action_decode(&w, w.at[i]);
    batch_keep_ok(&w);
    actions_apply(&w);
    scratch_wipe(u->scratch, n);
}
