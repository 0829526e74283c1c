/* Builds requests, covers and SURB headers. Each hop costs a packet two X25519: its kx_public and its shared secret, both by one
 * scalar (scalar.c). All rows of a chunk take each step together. */
#include <string.h>

#include "fm_build.h"

enum { LANES = FM_BATCH_MAX };

static const uint8_t SMALL_PERSONAL[] = "sphinx-small-d-s", PAYLOAD_PERSONAL[] = "sphinx-pl-en-key";
static const uint8_t BLINDING_PERSONAL[] = "sphinx-blind-fac";
static const uint8_t BASE_POINT[32] = {9};

/* One chunk of a route; out is the first row's header. */
struct chunk {
    const struct fm_kernels *k;
    const struct fm_route *route;
    struct fm_build_scratch *s;
    size_t first, rows; /* rows first .. first + rows - 1 */
    uint8_t *out;
    size_t stride;
};

static size_t rows_a_chunk(size_t hops)
{
    return LANES / (hops > 2 ? hops : 2); /* kx_public and shared secret of a hop go in one call */
}

static const uint8_t *hop_public(const struct chunk *c, size_t row, size_t hop)
{
    return c->route->publics + ((c->first + row) * c->route->hops + hop) * 32;
}

static void draw_random(const struct chunk *c)
{
    uint8_t *out[LANES];
    const uint8_t *key[LANES], *nonce[LANES];
    for (size_t r = 0; r < c->rows; r++) {
        uint64_t number = c->first + r;
        memset(c->s->nonce[r], 0, 12);
        for (int i = 0; i < 8; i++) c->s->nonce[r][i] = (uint8_t)(number >> 8 * i);
        out[r] = c->s->random[r];
        key[r] = c->route->seed;
        nonce[r] = c->s->nonce[r];
    }
    c->k->chacha20(out, NULL, key, nonce, NULL, FM_RANDOM_SIZE, c->rows);
}

static void clamp(uint8_t scalar[32])
{
    scalar[0] &= 248;
    scalar[31] = (uint8_t)((scalar[31] & 127) | 64);
}

/* scalar = clamp(x) / 8 */
static void start_scalars(const struct chunk *c)
{
    for (size_t r = 0; r < c->rows; r++) {
        uint8_t *x = c->s->random[r];
        clamp(x);
        for (int i = 0; i < 32; i++) c->s->scalar[r][i] = (uint8_t)(x[i] >> 3 | (i < 31 ? x[i + 1] << 5 : 0));
    }
}

/* Public values only, so it may branch. */
static int is_canonical(const uint8_t point[32])
{
    if (point[31] != 0x7f) return point[31] < 0x7f;
    for (int i = 30; i > 0; i--)
        if (point[i] != 0xff) return 1;
    return point[0] < 0xed;
}

/* Of a shared secret only the answer is seen, whether it is all zero. */
static void note_faults(const struct chunk *c, size_t hop)
{
    static const uint8_t zero[32];
    for (size_t r = 0; r < c->rows; r++) {
        uint8_t *fault = &c->route->faults[c->first + r];
        const uint8_t *shared = c->s->blinding_key[hop * c->rows + r] + 32;
        if (*fault) continue;
        if (!is_canonical(hop_public(c, r, hop))) *fault = (uint8_t)(FM_FAULT_NON_CANONICAL + hop);
        else if (fm_equal(shared, zero, sizeof zero)) *fault = (uint8_t)(FM_FAULT_LOW_ORDER + hop);
    }
}

/* kx_public and shared secret of a hop, into blinding_key; the scalar is already of this hop. */
static void share(const struct chunk *c, size_t hop)
{
    uint8_t *out[LANES];
    const uint8_t *scalar[LANES], *point[LANES];
    size_t n = c->rows;
    for (size_t r = 0; r < n; r++) {
        uint8_t *both = c->s->blinding_key[hop * n + r];
        fm_scalar_clamped(c->s->clamped[r], c->s->scalar[r]);
        out[r] = both;
        out[n + r] = both + 32;
        scalar[r] = scalar[n + r] = c->s->clamped[r];
        point[r] = BASE_POINT;
        point[n + r] = hop_public(c, r, hop);
    }
    c->k->x25519(out, scalar, point, 2 * n);
    note_faults(c, hop);
}

static void blind(const struct chunk *c, size_t hop)
{
    uint8_t *out[LANES];
    const uint8_t *key[LANES];
    struct fm_hash hash = {.out_size = 32, .key_size = 64, .personal = BLINDING_PERSONAL};
    for (size_t r = 0; r < c->rows; r++) {
        out[r] = c->s->blinding[r];
        key[r] = c->s->blinding_key[hop * c->rows + r];
    }
    c->k->blake2b(&hash, out, key, NULL, c->rows);
    for (size_t r = 0; r < c->rows; r++) {
        clamp(c->s->blinding[r]);
        fm_scalar_multiply(c->s->scalar[r], c->s->scalar[r], c->s->blinding[r]);
    }
}

static void hand_out_publics(const struct chunk *c)
{
    size_t hops = c->route->hops;
    for (size_t r = 0; r < c->rows; r++) {
        memcpy(c->out + r * c->stride, c->s->blinding_key[r], 32);
        for (size_t hop = 0; c->route->kx_publics && hop < hops; hop++)
            memcpy(c->route->kx_publics + ((c->first + r) * hops + hop) * 32, c->s->blinding_key[hop * c->rows + r], 32);
    }
}

static void agree(const struct chunk *c)
{
    start_scalars(c);
    for (size_t hop = 0; hop < c->route->hops; hop++) {
        if (hop) blind(c, hop - 1);
        share(c, hop);
    }
    hand_out_publics(c);
}

void fm_payload_keys(const struct fm_kernels *k, uint8_t *const *payload_key, const uint8_t *const *secrets, size_t n)
{
    uint8_t *out[LANES];
    for (uint64_t part = 0; part < 3; part++) {
        struct fm_hash hash = {.out_size = 64, .key_size = 32, .salt = part, .personal = PAYLOAD_PERSONAL};
        for (size_t i = 0; i < n; i++) out[i] = payload_key[i] + 64 * part;
        k->blake2b(&hash, out, secrets, NULL, n);
    }
}

/* mac keys, action streams and payload keys of all lanes. */
static void derive(const struct chunk *c)
{
    uint8_t *small[LANES], *stream[LANES], *payload_key[LANES];
    const uint8_t *shared[LANES], *actions_key[LANES];
    size_t lanes = c->rows * c->route->hops;
    struct fm_hash hash = {.out_size = 64, .key_size = 32, .personal = SMALL_PERSONAL};
    for (size_t i = 0; i < lanes; i++) {
        shared[i] = c->s->blinding_key[i] + 32;
        small[i] = c->s->small[i];
        actions_key[i] = c->s->small[i] + 16;
        stream[i] = c->s->stream[i];
        payload_key[i] = c->s->payload_key[i];
    }
    c->k->blake2b(&hash, small, shared, NULL, lanes);
    c->k->chacha20(stream, NULL, actions_key, NULL, NULL, FM_STREAM_SIZE, lanes);
    fm_payload_keys(c->k, payload_key, shared, lanes);
}

static void xor_into(uint8_t *bytes, const uint8_t *stream, size_t size)
{
    for (size_t i = 0; i < size; i++) bytes[i] ^= stream[i];
}

static int goes_to_peer(const struct fm_route *route, size_t hop)
{
    return route->peer_ids && hop + 2 == route->hops;
}

static size_t forward_size(const struct fm_route *route, size_t hop)
{
    return goes_to_peer(route, hop) ? FM_ACTION_PEER_SIZE : FM_ACTION_INDEX_SIZE;
}

/* What the last hop will hold behind its own actions: the zeros of all hops before it, under their streams. Returns its size. */
static size_t fill(const struct chunk *c, size_t row, uint8_t *filler)
{
    size_t size = 0;
    for (size_t hop = 0; hop + 1 < c->route->hops; hop++) {
        size_t grown = forward_size(c->route, hop);
        memset(filler + size, 0, grown);
        size += grown;
        xor_into(filler, c->s->stream[hop * c->rows + row] + FM_ACTIONS_SIZE + grown - size, size);
    }
    return size;
}

static void put_code(uint8_t *actions, uint16_t code)
{
    actions[0] = (uint8_t)code;
    actions[1] = (uint8_t)(code >> 8);
}

/* Action, id, random bytes, filler. */
static void write_last(const struct chunk *c, size_t row)
{
    const struct fm_route *route = c->route;
    uint8_t *actions = c->out + row * c->stride + FM_ACTIONS_AT;
    size_t open = FM_ACTIONS_SIZE - fill(c, row, c->s->filler[row]);
    memcpy(actions, c->s->random[row] + 32, open);
    put_code(actions, route->last_action);
    if (route->last_action == FM_ACTION_DELIVER_REPLY || route->last_action == FM_ACTION_COVER_ID)
        memcpy(actions + 2, route->ids + (c->first + row) * FM_SURB_ID_SIZE, FM_SURB_ID_SIZE);
    xor_into(actions, c->s->stream[(route->hops - 1) * c->rows + row], open);
    memcpy(actions + open, c->s->filler[row], FM_ACTIONS_SIZE - open);
}

/* Puts a hop's own action and the next hop's mac before the next hop's actions. */
static void write_forward(const struct chunk *c, size_t row, size_t hop)
{
    const struct fm_route *route = c->route;
    uint8_t *mac = c->out + row * c->stride + FM_MAC_AT, *actions = mac + FM_MAC_SIZE;
    size_t size = forward_size(route, hop), n_targets = route->hops - (route->peer_ids ? 2 : 1);
    memmove(actions + size, actions, FM_ACTIONS_SIZE - size);
    if (goes_to_peer(route, hop)) {
        put_code(actions, FM_ACTION_FORWARD_PEER);
        memcpy(actions + 2, route->peer_ids + (c->first + row) * FM_PEER_ID_SIZE, FM_PEER_ID_SIZE);
    } else {
        put_code(actions, route->targets[(c->first + row) * n_targets + hop]);
    }
    memcpy(actions + size - FM_MAC_SIZE, mac, FM_MAC_SIZE);
    xor_into(actions, c->s->stream[hop * c->rows + row], FM_ACTIONS_SIZE);
}

static void authenticate(const struct chunk *c, size_t hop)
{
    uint8_t *mac[LANES];
    const uint8_t *key[LANES], *actions[LANES];
    struct fm_hash hash = {.out_size = FM_MAC_SIZE, .key_size = 16, .message_size = FM_ACTIONS_SIZE};
    for (size_t r = 0; r < c->rows; r++) {
        mac[r] = c->out + r * c->stride + FM_MAC_AT;
        key[r] = c->s->small[hop * c->rows + r];
        actions[r] = mac[r] + FM_MAC_SIZE;
    }
    c->k->blake2b(&hash, mac, key, actions, c->rows);
}

/* The 188 bytes of every row's header; leaves the payload keys in the scratch. */
static void build_headers(const struct chunk *c)
{
    size_t hops = c->route->hops;
    memset(c->route->faults + c->first, 0, c->rows);
    draw_random(c);
    agree(c);
    derive(c);
    for (size_t r = 0; r < c->rows; r++) write_last(c, r);
    authenticate(c, hops - 1);
    for (size_t hop = hops - 1; hop-- > 0;) {
        for (size_t r = 0; r < c->rows; r++) write_forward(c, r, hop);
        authenticate(c, hop);
    }
}

/* Random payloads from streams of their own: nonce byte 8 is 1. */
static void draw_payloads(const struct chunk *c, size_t payload_size)
{
    uint8_t *out[LANES];
    const uint8_t *key[LANES], *nonce[LANES];
    for (size_t r = 0; r < c->rows; r++) {
        c->s->nonce[r][8] = 1;
        out[r] = c->out + r * c->stride + FM_HEADER_SIZE;
        key[r] = c->route->seed;
        nonce[r] = c->s->nonce[r];
    }
    c->k->chacha20(out, NULL, key, nonce, NULL, payload_size, c->rows);
}

static void write_payload(uint8_t *payload, const uint8_t *data, size_t payload_size)
{
    memcpy(payload, data, payload_size - FM_PAYLOAD_TAG_SIZE);
    memset(payload + payload_size - FM_PAYLOAD_TAG_SIZE, 0, FM_PAYLOAD_TAG_SIZE);
}

static void encrypt_payloads(const struct chunk *c, const uint8_t *data, size_t payload_size)
{
    uint8_t *payload[LANES];
    const uint8_t *key[LANES];
    for (size_t r = 0; r < c->rows; r++) {
        payload[r] = c->out + r * c->stride + FM_HEADER_SIZE;
        write_payload(payload[r], data + (c->first + r) * (payload_size - FM_PAYLOAD_TAG_SIZE), payload_size);
    }
    for (size_t hop = c->route->hops; hop-- > 0;) {
        for (size_t r = 0; r < c->rows; r++) key[r] = c->s->payload_key[hop * c->rows + r];
        fm_lioness_encrypt(c->k, payload, key, payload_size, c->rows);
    }
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Only lanes that were used: the whole is a quarter of a megabyte, and many calls build one packet. */
static void scratch_wipe(struct fm_build_scratch *s, size_t hops, size_t n)
{
    size_t lanes = smaller(n, rows_a_chunk(hops)) * hops;
    fm_wipe(s->random, lanes * sizeof s->random[0]);
    fm_wipe(s->nonce, lanes * sizeof s->nonce[0]);
    fm_wipe(s->scalar, lanes * sizeof s->scalar[0]);
    fm_wipe(s->clamped, lanes * sizeof s->clamped[0]);
    fm_wipe(s->blinding_key, lanes * sizeof s->blinding_key[0]);
    fm_wipe(s->blinding, lanes * sizeof s->blinding[0]);
    fm_wipe(s->small, lanes * sizeof s->small[0]);
    fm_wipe(s->stream, lanes * sizeof s->stream[0]);
    fm_wipe(s->filler, lanes * sizeof s->filler[0]);
    fm_wipe(s->payload_key, lanes * sizeof s->payload_key[0]);
}

void fm_build_packets(const struct fm_kernels *k, const struct fm_route *route, const uint8_t *data, uint8_t *out, size_t stride,
                      size_t payload_size, struct fm_build_scratch *s, size_t n)
{
    struct chunk c = {.k = k, .route = route, .s = s, .stride = stride};
    for (; c.first < n; c.first += c.rows) {
        c.rows = smaller(n - c.first, rows_a_chunk(route->hops));
        c.out = out + c.first * stride;
        build_headers(&c);
        if (data) encrypt_payloads(&c, data, payload_size);
        else draw_payloads(&c, payload_size);
    }
    scratch_wipe(s, route->hops, n);
}

/* The secret of each SURB and, from it, the key with which the reply's sender decrypts; then the keys of all hops but the last,
 * which does not touch a reply's payload. */
static void finish_surbs(const struct chunk *c, const uint16_t *first, uint8_t *surbs, uint8_t *keys)
{
    uint8_t *own_key[LANES];
    const uint8_t *secret[LANES];
    size_t hops = c->route->hops;
    for (size_t r = 0; r < c->rows; r++) {
        uint8_t *surb = surbs + (c->first + r) * FM_SURB_SIZE;
        put_code(surb, first[c->first + r]);
        memcpy(surb + FM_SURB_SECRET_AT, c->s->random[r] + 32 + FM_ACTIONS_SIZE, 32);
        secret[r] = surb + FM_SURB_SECRET_AT;
        own_key[r] = keys + (c->first + r) * hops * FM_PAYLOAD_KEY_SIZE;
        for (size_t hop = 0; hop + 1 < hops; hop++)
            memcpy(own_key[r] + (hop + 1) * FM_PAYLOAD_KEY_SIZE, c->s->payload_key[hop * c->rows + r], FM_PAYLOAD_KEY_SIZE);
    }
    fm_payload_keys(c->k, own_key, secret, c->rows);
}

void fm_build_surbs(const struct fm_kernels *k, const struct fm_route *route, const uint16_t *first, uint8_t *surbs,
                    uint8_t *keys, struct fm_build_scratch *s, size_t n)
{
    struct chunk c = {.k = k, .route = route, .s = s, .stride = FM_SURB_SIZE};
    for (; c.first < n; c.first += c.rows) {
        c.rows = smaller(n - c.first, rows_a_chunk(route->hops));
        c.out = surbs + c.first * FM_SURB_SIZE + FM_SURB_HEADER_AT;
        build_headers(&c);
        finish_surbs(&c, first, surbs, keys);
    }
    scratch_wipe(s, route->hops, n);
}
