/* Memory for secrets, and the chain that a node's mix keys come from. */
#ifndef FM_KEYCHAIN_H
#define FM_KEYCHAIN_H

#include <stddef.h>
#include <stdint.h>

#include "fm_kernels.h"

/* Whole pages of zeros between two that cannot be touched: locked (never swapped), not dumped, and zeros in a forked child.
 * NULL where the kernel refuses; errno says why (ENOMEM, EPERM, EAGAIN of mlock: the limit on locked memory). */
void *fm_locked_take(size_t size);
/* Wipes and unmaps. NULL is allowed. */
void fm_locked_give(void *area, size_t size);
/* Random bytes of the kernel; 0, or -1 with errno. */
int fm_random(uint8_t *out, size_t size);

enum { FM_CHAIN_LANES = 32, FM_CHAIN_ID_SIZE = 16, FM_CHAIN_CLEAR_SIZE = 24, FM_CHAIN_SEALED_SIZE = FM_CHAIN_CLEAR_SIZE + 32 + 16,
       FM_CHAIN_AAD_MAX = 64, FM_CHAIN_SKIP_MAX = 1 << 20 };

/* A forward-secure generator (Bellare and Yee, "Forward-Security in Private-Key Cryptography", 2003) of keyed BLAKE2b. It lives
 * in locked memory with all its scratch; what has been passed cannot be computed from what it holds. */
struct fm_chain {
    uint32_t is_live; /* 0 once wiped, and in a forked child: then nothing may be derived from the zeros */
    uint8_t id[FM_CHAIN_ID_SIZE]; /* public, the same along the chain */
    uint64_t slot;                /* whose secret is next */
    uint8_t state[32];
    struct { /* zeros between calls */
        uint8_t state[FM_CHAIN_LANES][32], secret[FM_CHAIN_LANES][32], slot[FM_CHAIN_LANES][8], message[FM_CHAIN_AAD_MAX + 128];
        uint8_t next[32], poly_key[32], tag[16];
    } scratch;
};

/* A chain at a slot, of state (32) and id. */
void fm_chain_begin(struct fm_chain *c, uint64_t slot, const uint8_t state[32], const uint8_t id[FM_CHAIN_ID_SIZE]);
/* out = the secret of c->slot (32): BLAKE2b-256(key = state, message = slot u64 LE, personal = "fastmix-mix-key\0"). */
void fm_chain_secret(const struct fm_kernels *k, struct fm_chain *c, uint8_t out[32]);
/* n slots on: each time state = BLAKE2b-256(key = state, empty message, personal = "fastmix-advance\0"). */
void fm_chain_advance(const struct fm_kernels *k, struct fm_chain *c, uint64_t n);
/* The X25519 publics (32 each) of the next n slots; the chain stays where it is. */
void fm_chain_publics(const struct fm_kernels *k, struct fm_chain *c, uint8_t *publics, size_t n);
/* ChaCha20-Poly1305 (RFC 8439): id, slot (u64 LE), encrypted state, tag; id and slot are authenticated together with the aad
 * before them (aad_size <= FM_CHAIN_AAD_MAX). A key must be used for one nonce once. */
void fm_chain_seal(const struct fm_kernels *k, struct fm_chain *c, uint8_t sealed[FM_CHAIN_SEALED_SIZE], const uint8_t key[32],
                   const uint8_t nonce[12], const uint8_t *aad, size_t aad_size);
/* 1, and the chain is live; or 0 and it is as it was. */
int fm_chain_open(const struct fm_kernels *k, struct fm_chain *c, const uint8_t sealed[FM_CHAIN_SEALED_SIZE],
                  const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_size);
void fm_chain_wipe(struct fm_chain *c);
/* The X25519 public (32) of a secret, of which nothing is left on the stack. */
void fm_key_public(const struct fm_kernels *k, uint8_t public[32], const uint8_t secret[32]);

#endif
