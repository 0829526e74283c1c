/* What `fastmix bench` measures with: a clock of core cycles, and the whole unwrap one packet at a time over libsodium.
 * No part of a node calls this. */
#ifndef FM_BENCH_H
#define FM_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "fm_geometry.h"

/* CPU time of the calling thread and monotonic time, ns. */
uint64_t fm_meter_cpu_ns(void);
uint64_t fm_meter_wall_ns(void);
/* The core's frequency now, GHz, by a chain of dependent 64-bit multiplications of FM_METER_LATENCY cycles each. About 3 us. */
double fm_meter_core_ghz(void);
enum { FM_METER_LATENCY = 3 }; /* Intel since Nehalem, AMD since Zen, Arm Neoverse: all 3 */

/* libsodium 1.0.12 or later, found at run time; addresses of its functions. */
struct fm_sodium {
    int (*scalarmult)(unsigned char *q, const unsigned char *n, const unsigned char *p);
    int (*blake2b)(unsigned char *out, size_t out_size, const unsigned char *in, unsigned long long in_size,
                   const unsigned char *key, size_t key_size, const unsigned char *salt, const unsigned char *personal);
    int (*chacha20)(unsigned char *c, const unsigned char *m, unsigned long long size, const unsigned char *nonce, uint32_t ic,
                    const unsigned char *k);
    int (*memcmp)(const void *a, const void *b, size_t size);
    int (*is_zero)(const unsigned char *n, size_t size);
    void (*memzero)(void *p, size_t size);
};

struct fm_unwrapped_one {
    uint8_t verdict; /* fm_verdict.h: OK for a forward to a mixnode, else a drop; DROP_ACTION for all other actions */
    uint16_t next_index;
    double delay;
    uint8_t tag[FM_TAG_SIZE];
};
/* Unwraps one packet that is to be forwarded to a mixnode, in place: all that fm_unwrap_check and fm_unwrap_apply do for it. */
void fm_sodium_unwrap(const struct fm_sodium *s, uint8_t *packet, size_t packet_size, const uint8_t secret[32],
                      const uint8_t replay_key[32], struct fm_unwrapped_one *out);

#endif
