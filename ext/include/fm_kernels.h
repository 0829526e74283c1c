/* The primitives, one table for each instruction set. Everything above (LIONESS, unwrap, build, link) is written once, in
 * batches, over this table; a faster instruction set replaces the five functions and nothing else. All functions
 * are constant time in keys and contents. Lanes are independent; pointers of different lanes may be equal only for inputs. */
#ifndef FM_KERNELS_H
#define FM_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* What all lanes of one BLAKE2b call share (RFC 7693 parameter block, with salt and personalisation). */
struct fm_hash {
    uint8_t out_size;         /* 1..64 */
    uint8_t key_size;         /* 0..64 */
    uint64_t salt;            /* little endian in the first 8 of 16 salt bytes, zeros after */
    const uint8_t *personal;  /* 16 bytes, or NULL for zeros */
    size_t message_size;      /* equal in all lanes */
};

struct fm_kernels {
    const char *isa; /* "portable", "avx2", "avx512f", "avx512ifma" */

    /* RFC 7748: out[i] = clamp(scalar[i]) * point[i], 32 bytes each; all-zero results are written, not judged. out[i] may be
     * scalar[i] or point[i]. The top bit of a point is ignored; non-canonical points are taken mod p. */
    void (*x25519)(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n);

    /* in[i] = 1 if point[i], 32 bytes, is the u-coordinate of a point of prime order, else 0: then it is of low order, has a part
     * of low order, or is of the twist. The top bit is ignored; non-canonical points are taken mod p. */
    void (*subgroup)(uint8_t *in, const uint8_t *const *point, size_t n);

    /* RFC 8439: out[i] = in[i] XOR keystream(key[i], nonce[i], counter[i]); in == NULL gives the keystream; out[i] may be in[i].
     * nonce == NULL means zero nonces, counter == NULL means zeros. */
    void (*chacha20)(uint8_t *const *out, const uint8_t *const *in, const uint8_t *const *key,
                     const uint8_t *const *nonce, const uint32_t *counter, size_t size, size_t n);

    /* RFC 8439: tag[i] = Poly1305(key[i] (32 bytes), message[i] (size bytes)). */
    void (*poly1305)(uint8_t *const *tag, const uint8_t *const *key, const uint8_t *const *message, size_t size, size_t n);

    /* RFC 7693, keyed, salted, personalised. key is not read when key_size is 0, message not when message_size is 0. */
    void (*blake2b)(const struct fm_hash *shared, uint8_t *const *out, const uint8_t *const *key,
                    const uint8_t *const *message, size_t n);
};

/* The tables that this build has and this CPU runs, slowest first; gives how many. The first is always the portable one. */
enum { FM_ISA_COUNT = 4 };
size_t fm_kernels_supported(const struct fm_kernels *tables[FM_ISA_COUNT]);

/* Overwrites, and is not optimised away. */
void fm_wipe(void *secret, size_t size);
/* Overwrites what functions called before have left below this frame on the stack and in vector registers: keys, hash states.
 * Once a batch. */
void fm_burn_stack(void);
/* 1 if equal, 0 if not, in constant time. */
int fm_equal(const uint8_t *a, const uint8_t *b, size_t size);

#endif
