/* The link frame: verify, window, decrypt; seal. docs/wire-format.md has the bytes. */
#ifndef FM_LINK_H
#define FM_LINK_H

#include "fm_geometry.h"
#include "fm_kernels.h"
#include "fm_verdict.h"

/* A root and the mask key made from it. */
struct fm_root {
    uint8_t root[32];
    uint8_t mask_key[32];
};
void fm_root_set(const struct fm_kernels *k, struct fm_root *out, const uint8_t root[32]); /* out may hold root */

/* Bytes 4..11 of a frame: step u32 LE, seq u32 LE; as one u64: seq << 32 | step. */
#define FM_COUNTER(step, seq) ((uint64_t)(uint32_t)(step) | (uint64_t)(uint32_t)(seq) << 32)
#define FM_COUNTER_END 0x80000000u /* a root ends at 2^31 of either number */

/* One received frame on its way in. The caller fills frame and root; batch_key is secret: wiped by fm_link_decrypt. */
struct fm_opening {
    const uint8_t *frame;       /* frame bytes, exactly packet_size + 32 */
    const struct fm_root *root; /* by the frame's receiver_index */
    uint8_t *row;               /* where the opened frame goes: key_slot at row + 12, packet at row + 16 */
    uint64_t counter;           /* out of verify */
    uint8_t batch_key[32];      /* out of verify */
    uint8_t verdict;            /* verify: OK, DROP_LINK_AUTH, DROP_LINK_EXHAUSTED; decrypt: OK, DROP_LINK_FLAGS */
};
/* One mask block, one BLAKE2b, one ChaCha20 block, one Poly1305 a frame. n <= FM_BATCH_MAX. */
void fm_link_verify(const struct fm_kernels *k, struct fm_opening *f, size_t n, size_t packet_size);
/* Only for verdict OK: decrypts 4 + packet_size bytes to row + 12. */
void fm_link_decrypt(const struct fm_kernels *k, struct fm_opening *f, size_t n, size_t packet_size);

struct fm_sealing {
    uint8_t *row;                /* key_slot at row + 12, packet at row + 16; becomes the frame, in place */
    const struct fm_root *root;
    const uint8_t *batch_key;    /* 32, of this step: fm_batch_keys */
    uint32_t receiver_index;
    uint64_t counter;
};
/* keys[i] of the step in the first four bytes of counters[i]: FM_COUNTER as it lies in memory. */
void fm_batch_keys(const struct fm_kernels *k, uint8_t *const *keys, const uint8_t *const *roots,
                   const uint8_t *const *counters, size_t n);
void fm_batch_key(const struct fm_kernels *k, uint8_t out[32], const uint8_t root[32], uint32_t step);
void fm_link_seal(const struct fm_kernels *k, const struct fm_sealing *f, size_t n, size_t packet_size);

/* RFC 6479 over seq. Plain shared memory; the caller holds the link's lock when there are several workers. */
struct fm_window {
    uint64_t top; /* one more than the largest seq accepted; 0 at the start */
    uint64_t bits[FM_WINDOW_SIZE / 64 + 1];
};
/* OK and remembered, DROP_LINK_REPLAY, or DROP_LINK_OLD. */
uint8_t fm_window_accept(struct fm_window *w, uint32_t seq);

#endif
