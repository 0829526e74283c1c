/* Batched Sphinx over slots: LIONESS, unwrap in two parts with the replay check between them, delays. */
#ifndef FM_SPHINX_H
#define FM_SPHINX_H

#include "fm_geometry.h"
#include "fm_kernels.h"
#include "fm_verdict.h"

enum { /* action codes, u16 little endian on the wire; below FORWARD_PEER: forward to the mixnode of that index */
    FM_ACTION_FORWARD_PEER = 0xff00,
    FM_ACTION_DELIVER_REQUEST = 0xff01,
    FM_ACTION_DELIVER_REPLY = 0xff02,
    FM_ACTION_COVER = 0xff03,
    FM_ACTION_COVER_ID = 0xff04
};

/* blocks[i] of size bytes, in place; keys[i] 192 bytes. n <= FM_BATCH_MAX. */
void fm_lioness_encrypt(const struct fm_kernels *k, uint8_t *const *blocks, const uint8_t *const *keys, size_t size, size_t n);
void fm_lioness_decrypt(const struct fm_kernels *k, uint8_t *const *blocks, const uint8_t *const *keys, size_t size, size_t n);

/* Exp(1), capped at 10: ChaCha20Rng seeded with seed twice, the ziggurat of rand_distr 0.4.3. */
double fm_delay(const struct fm_kernels *k, const uint8_t seed[16]);

/* Columns, indexed by slot. */
struct fm_columns {
    uint8_t *verdict;
    uint16_t *action;
    uint16_t *next_index;
    double *delay;
    uint8_t *peer_id; /* 32 a slot */
    uint8_t *surb_id; /* 16 a slot */
    uint8_t *tag;     /* 16 a slot */
};

/* Secrets between check and apply; position i belongs to slots[i]. Private to a worker, wiped by apply. */
struct fm_unwrap_scratch {
    uint8_t shared[FM_BATCH_MAX][32];
    uint8_t small[FM_BATCH_MAX][64]; /* mac_key 16, actions_key 32, delay_seed 16 */
    uint8_t payload_key[FM_BATCH_MAX][FM_PAYLOAD_KEY_SIZE];
    uint8_t work[FM_BATCH_MAX][FM_ACTIONS_SIZE + FM_ACTIONS_PAD_MAX + 2];
};

struct fm_unwrap {
    uint8_t *packets; /* the packet of slot s begins at packets + s * stride */
    size_t stride;
    size_t payload_size; /* data + 16 */
    const uint8_t *secret;     /* 32 */
    const uint8_t *replay_key; /* 32 */
    uint8_t strict_kx; /* 1: kx_public outside the prime-order subgroup is FM_DROP_KX_SUBGROUP */
    struct fm_columns columns;
    struct fm_unwrap_scratch *scratch;
};

/* Canonical alpha, X25519, zero check, MAC, subgroup where strict_kx, replay tag. Writes verdict and, where OK, tag. n <=
 * FM_BATCH_MAX. */
void fm_unwrap_check(const struct fm_kernels *k, const struct fm_unwrap *u, const uint32_t *slots, size_t n);
/* For positions whose verdict is still OK: actions, blinding, payload, delay, in place. May set DROP_ACTION. A delivery
 * leaves the payload field at the packet's start (deliver_request: tag checked, else DROP_PAYLOAD_TAG; deliver_reply: not
 * checked, the keys are the receiver's). Wipes the scratch. */
void fm_unwrap_apply(const struct fm_kernels *k, const struct fm_unwrap *u, const uint32_t *slots, size_t n);

#endif
