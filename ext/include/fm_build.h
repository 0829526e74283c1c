/* Batched building of Sphinx packets: requests, covers, SURBs, replies, and the opening of replies. Any number of rows; they are
 * worked off in chunks that fill FM_BATCH_MAX lanes. The format is in docs/wire-format.md; who unwraps it is unwrap.c. */
#ifndef FM_BUILD_H
#define FM_BUILD_H

#include "fm_geometry.h"
#include "fm_kernels.h"
#include "fm_sphinx.h"

enum { /* bytes of actions: u16, what it names, and the next hop's mac where there is one */
    FM_ACTION_INDEX_SIZE = 2 + FM_MAC_SIZE,
    FM_ACTION_PEER_SIZE = 2 + FM_PEER_ID_SIZE + FM_MAC_SIZE,
    FM_ACTION_ID_SIZE = 2 + FM_SURB_ID_SIZE,
    FM_SURB_HEADER_AT = 2,
    FM_SURB_SECRET_AT = FM_SURB_HEADER_AT + FM_HEADER_SIZE,
    FM_STREAM_SIZE = FM_ACTIONS_SIZE + FM_ACTIONS_PAD_MAX,
    FM_RANDOM_SIZE = 32 + FM_ACTIONS_SIZE + 32 /* of a row: x, the unused actions, a SURB's secret */
};

/* What is wrong with a hop's public key. A row's fault is the sum of the kind and the hop (0..5); 0 = built. */
enum { FM_FAULT_NON_CANONICAL = 0x10, FM_FAULT_LOW_ORDER = 0x20 };

/* The routes of n rows; all pointers are to arrays with one entry a row. */
struct fm_route {
    size_t hops;             /* 1..FM_MAX_HOPS; at least 2 with peer_ids */
    const uint8_t *publics;  /* hops * 32 a row */
    const uint16_t *targets; /* hops - 1 a row (hops - 2 with peer_ids), below FM_ACTION_FORWARD_PEER; not checked */
    const uint8_t *peer_ids; /* 32 a row: the last forward goes to this peer. NULL: to a mixnode */
    uint16_t last_action;    /* what the last hop does */
    const uint8_t *ids;      /* 16 a row, for FM_ACTION_DELIVER_REPLY and FM_ACTION_COVER_ID; else not read */
    const uint8_t *seed;     /* 32: ChaCha20 key of the random bytes; row r reads the stream of nonce r */
    uint8_t *kx_publics;     /* hops * 32 a row: the kx_public that each hop receives. NULL: not wanted */
    uint8_t *faults;         /* out: 0, or the first fault; such a row's packet is not to be used */
};

/* Secrets of one chunk, lane = hop * rows + row. Private to a call; every fm_ function wipes it before it returns. */
struct fm_build_scratch {
    uint8_t random[FM_BATCH_MAX][FM_RANDOM_SIZE];
    uint8_t nonce[FM_BATCH_MAX][12];
    uint8_t scalar[FM_BATCH_MAX][32]; /* x b_1 ... b_i / 8 modulo the group order; by row */
    uint8_t clamped[FM_BATCH_MAX][32];
    uint8_t blinding_key[FM_BATCH_MAX][64]; /* kx_public, shared secret */
    uint8_t blinding[FM_BATCH_MAX][32];
    uint8_t small[FM_BATCH_MAX][64]; /* mac_key 16, actions_key 32, delay_seed 16 */
    uint8_t stream[FM_BATCH_MAX][FM_STREAM_SIZE];
    uint8_t filler[FM_BATCH_MAX][FM_ACTIONS_SIZE];
    uint8_t payload_key[FM_BATCH_MAX][FM_PAYLOAD_KEY_SIZE];
};

/* out: n packets, stride bytes apart. Payload: data (payload_size - 16 bytes a row) and a zero tag, in all layers; data NULL
 * (covers): random bytes. */
void fm_build_packets(const struct fm_kernels *k, const struct fm_route *route, const uint8_t *data, uint8_t *out, size_t stride,
                      size_t payload_size, struct fm_build_scratch *s, size_t n);

/* surbs: 222 bytes a row: first[row] u16, header, secret. keys: hops * 192 a row, as fm_open_replies wants them. */
void fm_build_surbs(const struct fm_kernels *k, const struct fm_route *route, const uint16_t *first, uint8_t *surbs,
                    uint8_t *keys, struct fm_build_scratch *s, size_t n);

/* out: n packets, stride bytes apart, made of the SURBs' headers and the data, decrypted once under the SURB's secret. */
void fm_build_replies(const struct fm_kernels *k, const uint8_t *data, const uint8_t *surbs, uint8_t *out, size_t stride,
                      size_t payload_size, struct fm_build_scratch *s, size_t n);

/* payloads (payload_size a row) become plain, in place; ok[row] = 1 where the zero tag is right (constant time). A row that is
 * not ok is zeroed. keys: hops * 192 a row. */
void fm_open_replies(const struct fm_kernels *k, uint8_t *payloads, const uint8_t *keys, size_t hops, uint8_t *ok,
                     size_t payload_size, size_t n);

/* secrets and publics: 32 a row; secrets are the ChaCha20 stream under seed (32), zero nonce, row r from block r. */
void fm_keypairs(const struct fm_kernels *k, const uint8_t seed[32], uint8_t *secrets, uint8_t *publics, size_t n);

/* payload_key[i] (192) of the shared secret secrets[i] (32). n <= FM_BATCH_MAX. */
void fm_payload_keys(const struct fm_kernels *k, uint8_t *const *payload_key, const uint8_t *const *secrets, size_t n);

/* Integers modulo the order l = 2^252 + 27742317777372353535851937790883648493 of Curve25519's base point; little endian. */
void fm_scalar_multiply(uint8_t out[32], const uint8_t a[32], const uint8_t clamped[32]); /* a < l, out = a * clamped mod l */
/* The scalar of clamped form that multiplies as 8 * a or as -8 * a, which is the same X25519. 0 < a < l. */
void fm_scalar_clamped(uint8_t out[32], const uint8_t a[32]);

#endif
