/* Memory that two processes share. The Python side is fastmix/seam/layout.py; fastmix.dataplane compares sizes and offsets
 * at import. */
#ifndef FM_SEAM_H
#define FM_SEAM_H

#include <stdint.h>

#include "fm_io.h"
#include "fm_link.h"
#include "fm_verdict.h"

enum { FM_LINKS_MAX = 1024, FM_KEYS_MAX = 3, FM_CLASSES_MAX = 4, FM_COUNTERS_MAX = 64, FM_WORKERS_MAX = 16,
       FM_NO_LINK = 0xffff, FM_ORIGIN_ROWS = 128, FM_RETURNED_MAX = 1024 };
#define FM_SLOT_FIXED UINT64_MAX

/* Counters, in the order of fastmix/seam/counters.py; drop reasons follow from FM_COUNT_DROPS on, in the order of the
 * verdicts. */
enum fm_count {
    FM_COUNT_RECEIVED, FM_COUNT_ORIGINATED, FM_COUNT_FORWARDED, FM_COUNT_DELIVERED, FM_COUNT_ABSORBED_COVER, FM_COUNT_POOLED,
    FM_COUNT_IN_STAGE, FM_COUNT_RELEASED_BELOW_FLOOR, FM_COUNT_STRATEGY_FAULTS, FM_COUNT_KERNEL_DROP_EVENTS,
    FM_COUNT_CRASH_UNCERTAIN,
    FM_COUNT_SENDING, FM_COUNT_DROPS /* + verdict - 1 */
};

/* Two copies and a generation: a thread writes copy[(generation + 1) & 1], then adds one. copy[generation & 1] is always a
 * consistent set, also after a kill -9; a reader that finds the generation changed reads again. */
struct fm_counter_page {
    uint64_t generation;
    uint64_t pad[7];
    uint64_t copy[2][FM_COUNTERS_MAX];
};
/* A page for each thread: 0 is the mixer's. Their sum counts; pooled is what a worker has brought in, less what the mixer has
 * taken out, modulo 2^64. A new data plane writes the sum of page[life & 1] into the other half, then adds one to life. */
struct fm_counters {
    uint64_t life;
    uint64_t pad[7];
    struct fm_counter_page page[2][FM_WORKERS_MAX + 1];
};

/* Public state of links. Of a row: its counters, its window. Of a peer, in the place that the `ingress` of all its rows names: a
 * lock, for those windows too, its address, its bucket. A row whose serial is 0 has a static root: control sets its counters. */
struct fm_link_state {
    uint64_t send_counter; /* FM_COUNTER(step, seq) of the next batch: stored before a batch is sealed */
    uint64_t send_limit;   /* neither number may reach this one: what control has reserved on disk, or the root's end */
    uint32_t lock;
    struct fm_address address; /* where the peer's frames go; of a client, whence its newest authenticated frame came */
    uint32_t pad;
    uint64_t heard;       /* serial of the newest row on which the peer was heard */
    uint64_t peer_serial; /* whose address and bucket these are: stored after them */
    int64_t bucket_ns; /* token bucket: when it would be full again */
    struct fm_window window;
    uint64_t serial; /* whose counters and window these are: stored after them */
    uint64_t tail_pad[5];
};

/* A row: one link under one root, as the data plane uses it. A row that is not live is a hole. One that was live gets another
 * serial only after every thread has been without it, so that none is in its state when that begins anew. */
struct fm_snapshot_link {
    uint32_t index_in;  /* receiver_index of frames that come */
    uint32_t index_out; /* of frames that leave */
    uint8_t peer_id[32];
    uint8_t is_client; /* its address is learned */
    uint8_t live;
    uint8_t sends; /* of a peer's rows, the one on which packets for it leave */
    uint8_t pad;
    uint16_t ingress; /* the peer's number: the same in all its rows */
    uint16_t next;    /* packets that wait for this row leave by that one; itself where none has taken over */
    struct fm_address address;
    int64_t interval_ns; /* token bucket: ns a frame, 0 = no limit */
    int64_t burst_ns;    /* and how far ahead of that it may run */
    uint64_t serial;      /* of the root: no other one has it in this node's life; 0: a static root */
    uint64_t peer_serial; /* of the first root of this peer; 0 alike */
    uint64_t send_limit;  /* of a row with a serial */
    int64_t since_ns;     /* CLOCK_BOOTTIME, for control */
    struct fm_root recv;
    struct fm_root send;
};

/* A key by name: the bytes are in its pair file only. It is accepted from from_ns until until_ns. */
struct fm_snapshot_key {
    uint8_t id[16];
    uint64_t slot;             /* of time; FM_SLOT_FIXED: a key without an end */
    int64_t from_ns, until_ns; /* CLOCK_BOOTTIME */
    uint8_t key_slot;
    uint8_t live;
    uint8_t pad[6];
};

/* What control gives to the data plane, whole. copy[generation & 1] is current; control writes the other one. */
struct fm_snapshot_copy {
    uint32_t link_count;
    uint32_t classes;
    int64_t mean_delay_ns;
    uint64_t last_serial; /* for control */
    uint64_t pad[7];
    uint64_t pool_limit[FM_CLASSES_MAX];
    struct fm_snapshot_key keys[FM_KEYS_MAX];
    uint16_t routes[65536]; /* mixnode index -> link, FM_NO_LINK where none */
    struct fm_snapshot_link links[FM_LINKS_MAX];
};
struct fm_snapshot {
    uint64_t generation; /* 0: nothing yet */
    uint64_t pad[7];
    struct fm_snapshot_copy copy[2];
};

/* A packet of the node's own on its way from control to the mixer: it joins the pool, and leaves like any other. */
struct fm_origin {
    uint16_t next_index; /* mixnode index of its first hop, with its class */
    uint8_t key_slot;
    uint8_t pad[5];
    int64_t due_ns; /* its deadline, by the mixer's clock */
    uint8_t packet[FM_JUMBO_PACKET_SIZE + 4];
};
/* The node's own loops: two rings, each with one who writes and one who reads, and what is said about them. A ring's numbers only
 * grow; position n is place n modulo the ring's size. */
struct fm_cover {
    uint64_t mark;            /* the first eight bytes of the ids of the loops that control waits for; 0: of none */
    uint64_t offered, taken;  /* packets: written by control, taken by the mixer */
    uint64_t returned, read;  /* ids: written by whoever unwraps the loop, read by control */
    uint64_t missing;         /* residents that the floor lacks, as the mixer sees it */
    uint64_t upstreams;       /* links that packets come from, by control; 0: as the mixing limits say */
    uint64_t loops_sent, loops_returned, loops_lost; /* as control counts them, since the node began */
    uint64_t pad[6];
    uint8_t ids[FM_RETURNED_MAX][FM_SURB_ID_SIZE];
    struct fm_origin origins[FM_ORIGIN_ROWS];
};

/* Words that the road reads. */
struct fm_command {
    uint32_t drain;    /* 1: take nothing new; 2: drop what is left */
    uint32_t wake;     /* any change brings the road back to the mixer */
    uint32_t pad[14];
};

#endif
