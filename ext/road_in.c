/* The road in: receive -> length -> link -> verify -> window -> bucket -> slot -> decrypt -> key -> unwrap check -> replay ->
 * unwrap apply -> route -> pool.
 * No X25519 before link authentication; junk never takes a slot. */
#include <string.h>

#include "fm_road.h"

struct arrivals { /* one batch on its way in; position i of each array is one frame */
    struct fm_opening *opening;
    uint16_t link[FM_BATCH_MAX];
    uint16_t frame[FM_BATCH_MAX]; /* position in the receive ring */
    uint32_t slot[FM_BATCH_MAX];
    size_t n;
    int64_t now_ns;
};

/* Exact length, known receiver index. */
static void admit(struct fm_road *r, int n, struct arrivals *in) {
    in->n = 0;
    for (int i = 0; i < n; i++) {
        const struct fm_received *f = &r->received[i];
        if (f->size != r->frame_size) {
            fm_count_drop(r, f->size == r->other_frame_size ? FM_DROP_OTHER_GEOMETRY : FM_DROP_LENGTH);
            continue;
        }
        uint32_t index;
        memcpy(&index, f->data, 4);
        uint16_t link = fm_lookup_index(r, index);
        if (link == FM_NO_LINK || r->command->drain) {
            fm_count_drop(r, link == FM_NO_LINK ? FM_DROP_UNKNOWN_INDEX : FM_DROP_DRAINING);
            continue;
        }
        in->opening[in->n].frame = f->data;
        in->opening[in->n].root = &r->snapshot->links[link].recv;
        in->link[in->n] = link;
        in->frame[in->n++] = (uint16_t)i;
    }
}

static void lock(struct fm_link_state *l) {
    while (__atomic_exchange_n(&l->lock, 1, __ATOMIC_ACQUIRE)) {
    }
}

/* A client is where its newest authenticated frame came from: one that is only not too old may have been held back and sent from
 * elsewhere. size is 0 while the bytes change: a crash leaves "unknown". */
static void learn_address(struct fm_link_state *l, const struct fm_address *from) {
    if (l->address.size == from->size && memcmp(l->address.bytes, from->bytes, from->size) == 0) return;
    __atomic_store_n(&l->address.size, 0, __ATOMIC_RELEASE);
    memcpy(l->address.bytes, from->bytes, sizeof from->bytes);
    __atomic_store_n(&l->address.size, from->size, __ATOMIC_RELEASE);
}

/* The peer's token bucket, as a clock that runs ahead (GCRA, ITU-T I.371): each frame moves it on by one interval. */
static uint8_t take_token(struct fm_link_state *l, const struct fm_snapshot_link *of, int64_t now_ns) {
    int64_t full_ns = l->bucket_ns > now_ns ? l->bucket_ns : now_ns;
    if (!of->interval_ns) return FM_OK;
    if (full_ns - now_ns > of->burst_ns) return FM_DROP_LINK_RATE;
    l->bucket_ns = full_ns + of->interval_ns;
    return FM_OK;
}

/* The window, the bucket, then a slot: what comes after this is worth a row. */
static uint8_t accept(struct fm_road *r, struct arrivals *in, size_t i) {
    struct fm_opening *o = &in->opening[i];
    if (o->verdict != FM_OK) return o->verdict;
    struct fm_link_state *l = &r->links[in->link[i]];
    const struct fm_snapshot_link *of = &r->snapshot->links[in->link[i]];
    uint32_t seq = (uint32_t)(o->counter >> 32);
    lock(l);
    int newest = seq >= l->window.top;
    uint8_t verdict = fm_window_accept(&l->window, seq);
    if (verdict == FM_OK && newest && of->is_client) learn_address(l, r->received[in->frame[i]].from);
    if (verdict == FM_OK) verdict = take_token(l, of, in->now_ns);
    __atomic_store_n(&l->lock, 0, __ATOMIC_RELEASE);
    if (verdict == FM_OK && r->free_count == 0) verdict = FM_DROP_ARENA_FULL;
    return verdict;
}

static void release(struct fm_road *r, uint32_t slot) {
    r->arena.state[slot] = FM_FREE;
    r->free_slots[r->free_count++] = slot;
}

/* Verifies all, gives slots to the fresh ones, decrypts those into their rows. */
static void open_frames(struct fm_road *r, struct arrivals *in) {
    size_t kept = 0, all = in->n;
    fm_link_verify(r->kernels, in->opening, in->n, r->packet_size);
    for (size_t i = 0; i < in->n; i++) {
        uint8_t verdict = accept(r, in, i);
        if (verdict != FM_OK) {
            fm_count_drop(r, verdict);
            continue;
        }
        uint32_t slot = r->free_slots[--r->free_count];
        r->arena.state[slot] = FM_RECEIVING;
        r->arena.ingress[slot] = in->link[i];
        in->opening[kept] = in->opening[i];
        in->opening[kept].row = fm_row(r, slot);
        in->slot[kept++] = slot;
    }
    if (kept) fm_link_decrypt(r->kernels, in->opening, kept, r->packet_size);
    in->n = 0;
    for (size_t i = 0; i < kept; i++) {
        if (in->opening[i].verdict != FM_OK) {
            fm_count_drop(r, in->opening[i].verdict);
            release(r, in->slot[i]);
            continue;
        }
        r->arena.key_slot[in->slot[i]] = fm_row(r, in->slot[i])[FM_FRAME_SEALED_AT];
        in->slot[in->n++] = in->slot[i];
    }
    fm_wipe(in->opening, all * sizeof *in->opening); /* batch keys of dropped frames too */
}

/* All slots of one live key through unwrap check, replay set and unwrap apply. */
static void unwrap_with(struct fm_road *r, uint32_t key, const uint32_t *slots, size_t n) {
    struct fm_unwrap u = {
        .packets = r->arena.rows + FM_FRAME_PACKET_AT,
        .stride = r->arena.stride,
        .payload_size = r->payload_size,
        .secret = r->snapshot->keys[key].secret,
        .replay_key = r->replay_key[key],
        .columns = r->arena.columns,
        .scratch = &r->scratch->unwrap,
    };
    fm_unwrap_check(r->kernels, &u, slots, n);
    fm_replay_insert(&r->replay[key], r->arena.columns.tag, r->arena.columns.verdict, slots, n);
    fm_unwrap_apply(r->kernels, &u, slots, n);
}

static void unwrap(struct fm_road *r, const struct arrivals *in) {
    uint32_t of_key[FM_BATCH_MAX];
    for (size_t i = 0; i < in->n; i++) r->arena.columns.verdict[in->slot[i]] = FM_DROP_KEY_SLOT;
    for (uint32_t key = 0; key < FM_KEYS_MAX; key++) {
        const struct fm_snapshot_key *live = &r->snapshot->keys[key];
        size_t n = 0;
        if (!live->live) continue;
        for (size_t i = 0; i < in->n; i++)
            if (r->arena.key_slot[in->slot[i]] == live->key_slot) of_key[n++] = in->slot[i];
        if (n) unwrap_with(r, key, of_key, n);
    }
}

/* A payload for this node itself, into the bounded sink. */
static uint8_t deliver(struct fm_road *r, uint32_t slot) {
    uint64_t head = *r->sink_head, tail = __atomic_load_n(r->sink_tail, __ATOMIC_ACQUIRE);
    if (head - tail >= r->sink_capacity) return FM_DROP_SINK_FULL;
    memcpy(r->sink_rows + (head % r->sink_capacity) * r->payload_size, fm_row(r, slot) + FM_FRAME_PACKET_AT, r->payload_size);
    __atomic_store_n(r->sink_head, head + 1, __ATOMIC_RELEASE);
    fm_count_add(r, FM_COUNT_DELIVERED, 1);
    return FM_OK;
}

/* Where a forwarded packet goes: its link and class, or a drop. */
static uint8_t route(struct fm_road *r, uint32_t slot) {
    struct fm_arena *a = &r->arena;
    int to_peer = a->columns.action[slot] == FM_ACTION_FORWARD_PEER;
    uint16_t next = a->columns.next_index[slot];
    a->link[slot] = to_peer ? fm_lookup_peer(r, a->columns.peer_id + 32 * (size_t)slot) : r->snapshot->routes[next];
    a->class_[slot] = to_peer ? 0 : (uint8_t)(next % r->snapshot->classes);
    if (a->link[slot] == FM_NO_LINK) return FM_DROP_NO_LINK;
    return r->pooled[a->class_[slot]] < r->snapshot->pool_limit[a->class_[slot]] ? FM_OK : FM_DROP_POOL_FULL;
}

static void pool(struct fm_road *r, uint32_t slot, int64_t now_ns) {
    struct fm_arena *a = &r->arena;
    a->arrival_ns[slot] = now_ns;
    a->deadline_ns[slot] = now_ns + (int64_t)(a->columns.delay[slot] * (double)r->snapshot->mean_delay_ns);
    __atomic_store_n(&a->state[slot], FM_POOLED, __ATOMIC_RELEASE);
    r->pooled[a->class_[slot]]++;
    r->inbox[r->inbox_count++] = slot;
}

static void settle(struct fm_road *r, uint32_t slot, int64_t now_ns) {
    uint8_t verdict = r->arena.columns.verdict[slot];
    uint16_t action = r->arena.columns.action[slot];
    int forward = action <= FM_ACTION_FORWARD_PEER;
    if (verdict == FM_OK && forward) verdict = route(r, slot);
    else if (verdict == FM_OK && action <= FM_ACTION_DELIVER_REPLY) verdict = deliver(r, slot);
    else if (verdict == FM_OK) fm_count_add(r, FM_COUNT_ABSORBED_COVER, 1);
    if (verdict == FM_OK && forward) {
        pool(r, slot, now_ns);
        return;
    }
    if (verdict != FM_OK) fm_count_drop(r, verdict);
    release(r, slot);
}

int fm_road_receive(struct fm_road *r, int64_t now_ns) {
    struct arrivals in = {.opening = r->scratch->opening, .now_ns = now_ns};
    int n = r->io->recv(r->io->context, r->received, r->batch);
    if (n <= 0) return n;
    fm_count_add(r, FM_COUNT_RECEIVED, (uint64_t)n);
    r->counters[FM_COUNT_IN_STAGE] = (uint64_t)n;
    fm_road_commit(r);
    fm_road_pass(r, FM_FAIL_RECEIVED);
    admit(r, n, &in);
    open_frames(r, &in);
    fm_road_pass(r, FM_FAIL_OPENED);
    if (in.n) unwrap(r, &in);
    for (size_t i = 0; i < in.n; i++) settle(r, in.slot[i], now_ns);
    fm_burn_stack();
    r->counters[FM_COUNT_IN_STAGE] = 0;
    fm_road_pass(r, FM_FAIL_POOLED);
    fm_road_commit(r);
    return n;
}
