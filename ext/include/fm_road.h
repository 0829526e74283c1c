/* The road: receive -> open -> unwrap -> replay -> pool, and leave: seal -> send. What the threads of a data plane share, and
 * what each of them has of its own; no allocation after start.
 *
 * One thread: it receives and mixes in turn (road 0). Several: road 0 is the mixer's, each worker has a road of its own and
 * receives for life. All use one arena, one list of free slots, one pool, one state per link. */
#ifndef FM_ROAD_H
#define FM_ROAD_H

#include <pthread.h>

#include "fm_io.h"
#include "fm_replay.h"
#include "fm_seam.h"
#include "fm_sphinx.h"

enum fm_fail {
    FM_FAIL_NONE, FM_FAIL_RECEIVED, FM_FAIL_OPENED, FM_FAIL_POOLED, FM_FAIL_LEAVING, FM_FAIL_SEALED, FM_FAIL_SENT,
    FM_FAIL_COMMITTED, FM_FAIL_RESETTING, FM_FAIL_RESET, FM_FAIL_SETTLING, FM_FAIL_ORIGINATED,
    FM_FAIL_TAKEN
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

/* A key as the threads use it: the pointers lead into its pair file. */
struct fm_key {
    const uint64_t *whole;     /* the pair's first word: zero before anything else of it is wiped, by whatever process */
    const uint8_t *secret;     /* 32 */
    const uint8_t *replay_key; /* 32 */
    struct fm_replay replay;
    int64_t from_ns, until_ns; /* CLOCK_BOOTTIME */
    uint32_t ended;            /* 1: no batch that begins now uses it */
    uint8_t key_slot;
};
enum { FM_KEY_PLACES = 2 * FM_KEYS_MAX }; /* those of two snapshots */

/* A snapshot as the road uses it. receiver_index or peer id -> link: open addressing, made from each snapshot. */
struct fm_view {
    const struct fm_snapshot_copy *snapshot;
    uint64_t seed;
    const struct fm_key *keys[FM_KEYS_MAX]; /* NULL: none */
    uint16_t by_index[4 * FM_LINKS_MAX];
    uint16_t by_peer[4 * FM_LINKS_MAX];
    uint16_t forward[FM_LINKS_MAX]; /* row -> the row by which its packets leave, FM_NO_LINK where none */
};

/* The free slots, last in, first out: what is in use stays small and in the cache. */
struct fm_free {
    uint32_t lock, count;
    uint32_t *slots;
};

/* Slots on their way from one worker to the mixer: a ring that has room for every slot there is. */
struct fm_inbox {
    uint32_t *slots;
    uint32_t mask; /* size - 1; the size is a power of two */
    uint32_t pushed;                              /* the worker's: not yet shown */
    _Alignas(64) uint32_t tail; /* the worker's: shown once the counters say so */
    _Alignas(64) uint32_t head; /* the mixer's */
};

struct fm_scratch { /* locked memory; secrets are wiped after each batch */
    struct fm_opening opening[FM_BATCH_MAX];
    struct fm_unwrap_scratch unwrap;
    uint8_t batch_key[FM_BATCH_MAX][32];
};

/* What all threads of a data plane share. */
struct fm_plane {
    const struct fm_kernels *kernels;
    struct fm_arena arena;
    struct fm_link_state *links;
    struct fm_key keys[FM_KEY_PLACES];
    int64_t boot_ahead_ns; /* CLOCK_BOOTTIME less the clock that batches are given */
    struct fm_counters *counters;
    const volatile struct fm_command *command;
    struct fm_cover *cover;          /* shared */
    uint64_t *sink_head;             /* shared */
    const volatile uint64_t *sink_tail;
    uint8_t *sink_rows;
    uint32_t sink_capacity, sink_lock;

    uint32_t packet_size, payload_size, frame_size, other_frame_size;
    uint8_t strict_kx; /* of fm_unwrap */
    uint32_t batch;    /* datagrams a receive call, <= FM_BATCH_MAX */
    int64_t tick_ns;   /* a packet waits at most so long until the mixer sees it */
    int64_t nap_ns;    /* after a batch that was not full */

    struct fm_road *roads; /* 0: the mixer, and the only worker if there are no others; then the workers */
    uint32_t road_count;
    uint32_t stop;         /* workers end */
    struct fm_view views[2];
    struct fm_view *view;  /* the one in force; the other one is written only when every road has come here */
    uint32_t pool_room;    /* slots that may be in use at once */
    _Alignas(64) struct fm_free free;
    _Alignas(64) uint64_t pooled[FM_CLASSES_MAX];
    _Alignas(64) uint32_t asleep; /* the mixer waits for the bell */
    uint32_t bell;
    uint32_t fail_place, fail_after; /* tests only: SIGKILL when this place is passed for the fail_after-th time; 0 = never */
};

/* One thread's. */
struct fm_road {
    struct fm_plane *plane;
    const struct fm_io *io;
    struct fm_scratch *scratch;
    const struct fm_view *view;
    struct fm_counter_page *page;
    uint64_t counters[FM_COUNTERS_MAX];
    struct fm_inbox inbox;
    uint32_t slots[FM_BATCH_MAX], slot_count; /* in hand */
    uint32_t kept; /* counted as received and still with io */
    uint32_t round; /* odd while keys are in use */
    struct fm_received received[FM_BATCH_MAX];
    struct fm_outgoing outgoing[FM_BATCH_MAX];
    pthread_t thread;
    int thread_id;    /* of a worker that runs, the kernel's; else 0 */
};

/* For so many threads; all zero but for what ties them together. NULL without memory. */
struct fm_plane *fm_plane_new(uint32_t road_count);
void fm_plane_free(struct fm_plane *p);
/* Repairs arena and counters after whatever came before (nothing, or a kill -9), finds free and pooled slots. Before any
 * thread is there. */
void fm_plane_recover(struct fm_plane *p);
/* Takes a snapshot as current; places[i]: where its key i is in p->keys, FM_KEY_PLACES where it is not to be had. Returns 0 if
 * some thread still uses the one before the last: ask again later. */
int fm_plane_adopt(struct fm_plane *p, const struct fm_snapshot_copy *s, const uint8_t places[FM_KEYS_MAX]);
/* Ends a key at once, in whatever snapshot it is. When this returns no thread uses its bytes any more: they may be wiped. */
void fm_plane_end_key(struct fm_plane *p, uint32_t place);
/* 1 if every thread uses the snapshot that was adopted last. */
int fm_plane_adopted(const struct fm_plane *p);
/* Then: packets that wait for a row which that snapshot has not, or which another one has taken over, wait for that one from now
 * on. So nothing names a row that it has not, and control may give the row to another root. */
void fm_plane_settle(struct fm_plane *p);
/* Starts the threads of roads 1 and on. Returns 0 or an errno; then none runs. */
int fm_plane_start(struct fm_plane *p);
/* Ends them, and returns when they have. */
void fm_plane_stop(struct fm_plane *p);
/* The mixer waits: until until_ns, a tick after something was pooled, or a change of command->wake. */
void fm_plane_wait(struct fm_plane *p, int64_t until_ns);
/* The slots pooled since the last call, at most n. Returns how many. */
uint32_t fm_plane_inbox(struct fm_plane *p, uint32_t *slots, uint32_t n);

/* One receive call and all that follows, up to the pool; none if the pool is full. Returns datagrams received, or -errno. */
int fm_road_receive(struct fm_road *r, int64_t now_ns);
/* The only thread receives: until until_ns (CLOCK_MONOTONIC), a tick after something was pooled, or a change of
 * command->wake. */
void fm_road_run(struct fm_road *r, int64_t until_ns);
/* Seals and sends n pooled slots, those of one link side by side; each run of one link is one batch (one step). */
void fm_road_leave(struct fm_road *r, const uint32_t *slots, uint32_t n);
/* The mixer takes what control has made, as far as there is room. Returns how many joined the pool. */
uint32_t fm_road_originate(struct fm_road *r, int64_t now_ns);
/* Ends n pooled slots with a drop. */
void fm_road_drop(struct fm_road *r, const uint32_t *slots, uint32_t n, uint8_t verdict);
/* Publishes the counters. */
void fm_road_commit(struct fm_road *r);
int64_t fm_clock_ns(void);

/* Shared by the two halves. */
void fm_road_pass(struct fm_road *r, enum fm_fail place);
uint16_t fm_lookup_index(const struct fm_view *v, uint32_t receiver_index);
uint16_t fm_lookup_peer(const struct fm_view *v, const uint8_t peer_id[32]);
static inline uint16_t fm_forward(const struct fm_view *v, uint16_t row) {
    return row < FM_LINKS_MAX ? v->forward[row] : FM_NO_LINK;
}
/* Where packets of each row leave, into the view of a snapshot. */
void fm_links_forward(struct fm_view *v, const struct fm_snapshot_copy *s);
/* Begins the state of rows and peers anew that have another serial, and takes the addresses of nodes. */
void fm_links_adopt(struct fm_plane *p, const struct fm_snapshot_copy *s);
/* Short locks between threads. A holder may be descheduled: who waits long gives way. */
void fm_lock(uint32_t *lock);
void fm_unlock(uint32_t *lock);
/* Takes up to n free slots as far as the pool may grow; gives some back. */
uint32_t fm_slots_take(struct fm_plane *p, uint32_t *slots, uint32_t n);
void fm_slots_give(struct fm_plane *p, const uint32_t *slots, uint32_t n);
/* A place among the pooled packets of a class, for all threads together; or FM_DROP_POOL_FULL. */
uint8_t fm_pool_enter(struct fm_plane *p, uint8_t class_, uint64_t limit);
/* A loop that may be this node's has come back: its id to control, where it has the mark of those that control waits for. */
void fm_loop_returned(struct fm_road *r, uint32_t slot);
/* How many could be taken now. */
uint32_t fm_slots_room(const struct fm_plane *p);
void fm_inbox_push(struct fm_inbox *b, uint32_t slot);
/* Shows the mixer what was pushed, and wakes it where it sleeps. */
void fm_inbox_show(struct fm_road *r);
uint32_t fm_inbox_waiting(const struct fm_plane *p);
static inline void fm_count_add(struct fm_road *r, enum fm_count what, uint64_t n) { r->counters[what] += n; }
static inline void fm_count_drop(struct fm_road *r, uint8_t verdict) { r->counters[FM_COUNT_DROPS + verdict - 1]++; }
static inline uint8_t *fm_row(const struct fm_road *r, uint32_t slot) {
    return r->plane->arena.rows + slot * r->plane->arena.stride;
}

#endif
