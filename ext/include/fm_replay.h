/* The replay set: 64-byte lines of sixteen 32-bit fingerprints (0 = empty; a fingerprint of 0 becomes 1), compare-and-swap,
 * in shared memory. A full line goes on to the next ones, FM_REPLAY_PROBES at most; then the tag is refused. Never forgets,
 * never evicts. */
#ifndef FM_REPLAY_H
#define FM_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "fm_geometry.h"
#include "fm_verdict.h"

enum { FM_REPLAY_LINE = 16, FM_REPLAY_PROBES = 8 };

struct fm_replay {
    uint32_t *lines;     /* line_count * 16, 64-byte aligned, zero at the start */
    uint64_t line_count; /* any number >= 1 */
};
/* For each slot whose verdict is OK: inserts tag[slot] (16 bytes), else sets DROP_REPLAY or DROP_REPLAY_FULL. Duplicates
 * within the batch count. Safe from several threads. */
void fm_replay_insert(const struct fm_replay *r, const uint8_t *tags, uint8_t *verdict, const uint32_t *slots, size_t n);

#endif
