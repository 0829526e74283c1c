/* The road: receive -> open -> unwrap -> replay -> pool, and leave: seal -> send. One worker's state; no allocation after
 * start. */
#ifndef FM_ROAD_H
#define FM_ROAD_H

#include "fm_io.h"
#include "fm_replay.h"
#include "fm_seam.h"
#include "fm_sphinx.h"

enum fm_fail {
    FM_FAIL_NONE, FM_FAIL_RECEIVED, FM_FAIL_OPENED, FM_FAIL_POOLED, FM_FAIL_LEAVING, FM_FAIL_SEALED, FM_FAIL_SENT,
    FM_FAIL_COMMITTED
};
enum fm_state { FM_FREE, FM_RECEIVING, FM_POOLED, FM_LEAVING };

struct fm_arena {
    uint8_t *rows;
    uint64_t stride;
    uint32_t capacity;
    uint8_t *state, *class_, *key_slot;
    uint16_t *link, *ingress;
    int64_t *arrival_ns, *deadline_ns;
    struct fm_columns columns;
};

/* receiver_index or peer id -> link, open addressing, rebuilt from each snapshot. */
struct fm_lookup {
    uint64_t seed;
    uint16_t by_index[4 * FM_LINKS_MAX];
    uint16_t by_peer[4 * FM_LINKS_MAX];
};


struct fm_scratch { /* locked memory; secrets are wiped after each batch */
    struct fm_opening opening[FM_BATCH_MAX];
    struct fm_unwrap_scratch unwrap;
    uint8_t batch_key[FM_BATCH_MAX][32];
};

struct fm_road {
    const struct fm_kernels *kernels;
    const struct fm_io *io;
    struct fm_arena arena;
    struct fm_scratch *scratch;
    const struct fm_snapshot_copy *snapshot;
    struct fm_lookup lookup;
    struct fm_link_state *links;
    struct fm_replay replay[FM_KEYS_MAX];
    uint8_t replay_key[FM_KEYS_MAX][32];
    struct fm_counter_page *page;
    const volatile struct fm_command *command;
    uint64_t *sink_head;             /* shared */
    const volatile uint64_t *sink_tail;
    uint8_t *sink_rows;
    uint32_t sink_capacity;

    uint32_t packet_size, payload_size, frame_size, other_frame_size;
    uint32_t batch;    /* datagrams a receive call, <= FM_BATCH_MAX */
    int64_t tick_ns;   /* a packet waits at most so long until the mixer sees it */
    int64_t nap_ns;    /* after a batch that was not full */

    uint32_t *free_slots; uint32_t free_count;
    uint32_t *inbox; uint32_t inbox_count; /* pooled since the mixer looked */
    uint64_t pooled[FM_CLASSES_MAX];
    uint64_t counters[FM_COUNTERS_MAX];
    struct fm_received received[FM_BATCH_MAX];
    struct fm_outgoing outgoing[FM_BATCH_MAX];
    uint32_t fail_place, fail_after; /* tests only: SIGKILL when this place is passed for the fail_after-th time; 0 = never */
};

/* Repairs arena and counters after whatever came before (nothing, or a kill -9), fills free list and inbox. */
void fm_road_recover(struct fm_road *r);
/* Takes a snapshot as current. */
void fm_road_adopt(struct fm_road *r, const struct fm_snapshot_copy *s);
/* One receive call and all that follows, up to the pool. Returns datagrams received, or -errno. */
int fm_road_receive(struct fm_road *r, int64_t now_ns);
/* Receives until until_ns (CLOCK_MONOTONIC), a tick after something was pooled, or a change of command->wake. */
void fm_road_run(struct fm_road *r, int64_t until_ns);
/* Seals and sends n pooled slots, those of one link side by side; each run of one link is one batch (one step). */
void fm_road_leave(struct fm_road *r, const uint32_t *slots, uint32_t n);
/* Ends n pooled slots with a drop. */
void fm_road_drop(struct fm_road *r, const uint32_t *slots, uint32_t n, uint8_t verdict);
/* Publishes the counters. */
void fm_road_commit(struct fm_road *r);
int64_t fm_clock_ns(void);

/* Shared by the two halves. */
void fm_road_pass(struct fm_road *r, enum fm_fail place);
uint16_t fm_lookup_index(const struct fm_road *r, uint32_t receiver_index);
uint16_t fm_lookup_peer(const struct fm_road *r, const uint8_t peer_id[32]);
static inline void fm_count_add(struct fm_road *r, enum fm_count what, uint64_t n) { r->counters[what] += n; }
static inline void fm_count_drop(struct fm_road *r, uint8_t verdict) { r->counters[FM_COUNT_DROPS + verdict - 1]++; }
static inline uint8_t *fm_row(const struct fm_road *r, uint32_t slot) { return r->arena.rows + slot * r->arena.stride; }

#endif
