/* The chain of mix keys (fm_keychain.h). All that is derived stays in the chain's own locked memory; no branch and no address
 * depends on it. */
#include "fm_keychain.h"

#include "bytes.h"

enum { LANES = FM_CHAIN_LANES, STATE = 32, TAG = 16 };

static const uint8_t SECRET_PERSONAL[16] = "fastmix-mix-key";
static const uint8_t ADVANCE_PERSONAL[16] = "fastmix-advance";
static const uint8_t BASE_POINT[32] = {9};

/* After each call: what was derived, and what the kernels have left on the stack. */
static void clean(struct fm_chain *c)
{
    fm_wipe(&c->scratch, sizeof c->scratch);
    fm_burn_stack();
}

static void step(const struct fm_kernels *k, uint8_t *next, const uint8_t *state)
{
    const struct fm_hash shared = {.out_size = 32, .key_size = 32, .personal = ADVANCE_PERSONAL};
    k->blake2b(&shared, &next, &state, &state, 1);
}

/* secrets[i] of slots from `first` on, by the states in the scratch. */
static void secrets(const struct fm_kernels *k, struct fm_chain *c, uint64_t first, size_t n)
{
    const struct fm_hash shared = {.out_size = 32, .key_size = 32, .personal = SECRET_PERSONAL, .message_size = 8};
    uint8_t *out[LANES];
    const uint8_t *key[LANES], *message[LANES];
    for (size_t i = 0; i < n; i++) {
        fm_store64(c->scratch.slot[i], first + i);
        out[i] = c->scratch.secret[i];
        key[i] = c->scratch.state[i];
        message[i] = c->scratch.slot[i];
    }
    k->blake2b(&shared, out, key, message, n);
}

void fm_chain_begin(struct fm_chain *c, uint64_t slot, const uint8_t state[32], const uint8_t id[FM_CHAIN_ID_SIZE])
{
    memmove(c->state, state, STATE);
    memmove(c->id, id, FM_CHAIN_ID_SIZE);
    c->slot = slot;
    c->is_live = 1;
    clean(c);
}

void fm_chain_secret(const struct fm_kernels *k, struct fm_chain *c, uint8_t out[32])
{
    memcpy(c->scratch.state[0], c->state, STATE);
    secrets(k, c, c->slot, 1);
    memcpy(out, c->scratch.secret[0], 32);
    clean(c);
}

void fm_chain_advance(const struct fm_kernels *k, struct fm_chain *c, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        step(k, c->scratch.next, c->state);
        memcpy(c->state, c->scratch.next, STATE);
        c->slot++;
    }
    clean(c);
}

/* The states of n slots from the one in scratch.next on, which then is the one behind them. */
static void run_ahead(const struct fm_kernels *k, struct fm_chain *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        memcpy(c->scratch.state[i], c->scratch.next, STATE);
        step(k, c->scratch.next, c->scratch.state[i]);
    }
}

void fm_chain_publics(const struct fm_kernels *k, struct fm_chain *c, uint8_t *publics, size_t n)
{
    memcpy(c->scratch.next, c->state, STATE);
    for (size_t first = 0; first < n; first += LANES) {
        size_t rows = n - first < LANES ? n - first : LANES;
        uint8_t *out[LANES];
        const uint8_t *scalar[LANES], *point[LANES];
        run_ahead(k, c, rows);
        secrets(k, c, c->slot + first, rows);
        for (size_t i = 0; i < rows; i++) {
            out[i] = publics + (first + i) * 32;
            scalar[i] = c->scratch.secret[i];
            point[i] = BASE_POINT;
        }
        k->x25519(out, scalar, point, rows);
    }
    clean(c);
}

void fm_key_public(const struct fm_kernels *k, uint8_t public[32], const uint8_t secret[32])
{
    const uint8_t *point = BASE_POINT;
    k->x25519(&public, &secret, &point, 1);
    fm_burn_stack();
}

static void crypt(const struct fm_kernels *k, uint8_t *out, const uint8_t *in, const uint8_t *key, const uint8_t *nonce,
                  uint32_t block)
{
    k->chacha20(&out, in ? &in : NULL, &key, &nonce, &block, 32, 1); /* a state is as long as a Poly1305 key */
}

/* RFC 8439 section 2.8: associated data (the caller's, id and slot), the encrypted state, their lengths; tag into scratch. */
static void make_tag(const struct fm_kernels *k, struct fm_chain *c, const uint8_t *sealed, const uint8_t key[32],
                     const uint8_t nonce[12], const uint8_t *aad, size_t aad_size)
{
    uint8_t *message = c->scratch.message, *tag = c->scratch.tag;
    const uint8_t *poly_key = c->scratch.poly_key, *text = message;
    size_t clear = aad_size + FM_CHAIN_CLEAR_SIZE, padded = (clear + 15) & ~(size_t)15;
    memset(message, 0, padded);
    if (aad_size) memcpy(message, aad, aad_size);
    memcpy(message + aad_size, sealed, FM_CHAIN_CLEAR_SIZE);
    memcpy(message + padded, sealed + FM_CHAIN_CLEAR_SIZE, STATE);
    fm_store64(message + padded + STATE, clear);
    fm_store64(message + padded + STATE + 8, STATE);
    crypt(k, c->scratch.poly_key, NULL, key, nonce, 0);
    k->poly1305(&tag, &poly_key, &text, padded + STATE + 16, 1);
}

void fm_chain_seal(const struct fm_kernels *k, struct fm_chain *c, uint8_t sealed[FM_CHAIN_SEALED_SIZE], const uint8_t key[32],
                   const uint8_t nonce[12], const uint8_t *aad, size_t aad_size)
{
    memcpy(sealed, c->id, FM_CHAIN_ID_SIZE);
    fm_store64(sealed + FM_CHAIN_ID_SIZE, c->slot);
    crypt(k, sealed + FM_CHAIN_CLEAR_SIZE, c->state, key, nonce, 1);
    make_tag(k, c, sealed, key, nonce, aad, aad_size);
    memcpy(sealed + FM_CHAIN_CLEAR_SIZE + STATE, c->scratch.tag, TAG);
    clean(c);
}

int fm_chain_open(const struct fm_kernels *k, struct fm_chain *c, const uint8_t sealed[FM_CHAIN_SEALED_SIZE],
                  const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_size)
{
    make_tag(k, c, sealed, key, nonce, aad, aad_size);
    int is_good = fm_equal(c->scratch.tag, sealed + FM_CHAIN_CLEAR_SIZE + STATE, TAG);
    if (is_good) { /* the answer is public */
        memcpy(c->id, sealed, FM_CHAIN_ID_SIZE);
        c->slot = fm_load64(sealed + FM_CHAIN_ID_SIZE);
        crypt(k, c->state, sealed + FM_CHAIN_CLEAR_SIZE, key, nonce, 1);
        c->is_live = 1;
    }
    clean(c);
    return is_good;
}

void fm_chain_wipe(struct fm_chain *c)
{
    fm_wipe(c, sizeof *c);
}
