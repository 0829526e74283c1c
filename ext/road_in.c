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
    int draining; /* as it was when the batch began */
};

/* Exact length, known receiver index. */
static void admit(struct fm_road *r, int n, struct arrivals *in) {
    in->n = 0;
    for (int i = 0; i < n; i++) {
        const struct fm_received *f = &r->received[i];
        if (f->size != r->plane->frame_size) {
            fm_count_drop(r, f->size == r->plane->other_frame_size ? FM_DROP_OTHER_GEOMETRY : FM_DROP_LENGTH);
            continue;
        }
        uint32_t index;
        memcpy(&index, f->data, 4);
        uint16_t link = fm_lookup_index(r->view, index);
        if (link == FM_NO_LINK || in->draining) {
            fm_count_drop(r, link == FM_NO_LINK ? FM_DROP_UNKNOWN_INDEX : FM_DROP_DRAINING);
            continue;
        }
        in->opening[in->n].frame = f->data;
        in->opening[in->n].root = &r->view->snapshot->links[link].recv;
        in->link[in->n] = link;
        in->frame[in->n++] = (uint16_t)i;
    }
}

/* A client is where its newest authenticated frame came from: one that is only not too old, or whose root is older than another
 * that it has used, may have been held back and sent from elsewhere. size is 0 while the bytes change: a crash leaves
 * "unknown". */
static void learn_address(struct fm_link_state *l, uint64_t serial, const struct fm_address *from) {
    if (serial < l->heard) return;
    l->heard = serial;
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

/* The window and the bucket, with the peer's lock, for its frames may be in the hands of several workers: what comes after this
 * is worth a row. */
static uint8_t accept(struct fm_road *r, struct arrivals *in, size_t i) {
    struct fm_opening *o = &in->opening[i];
    if (o->verdict != FM_OK) return o->verdict;
    const struct fm_snapshot_link *of = &r->view->snapshot->links[in->link[i]];
    struct fm_link_state *l = &r->plane->links[in->link[i]], *peer = &r->plane->links[of->ingress];
    uint32_t seq = (uint32_t)(o->counter >> 32);
    fm_lock(&peer->lock);
    int newest = seq >= l->window.top;
    uint8_t verdict = fm_window_accept(&l->window, seq);
    if (verdict == FM_OK && newest && of->is_client) learn_address(peer, of->serial, r->received[in->frame[i]].from);
    if (verdict == FM_OK) verdict = take_token(peer, of, in->now_ns);
    fm_unlock(&peer->lock);
    return verdict;
}

static void release(struct fm_road *r, uint32_t slot) {
    r->plane->arena.state[slot] = FM_FREE;
    r->slots[r->slot_count++] = slot;
}

/* Verifies all, gives slots to the fresh ones, decrypts those into their rows. */
static void open_frames(struct fm_road *r, struct arrivals *in) {
    struct fm_arena *a = &r->plane->arena;
    const struct fm_kernels *k = r->plane->kernels;
    size_t kept = 0, all = in->n;
    fm_link_verify(k, in->opening, in->n, r->plane->packet_size);
    for (size_t i = 0; i < in->n; i++) {
        uint8_t verdict = accept(r, in, i);
        if (verdict != FM_OK) {
            fm_count_drop(r, verdict);
            continue;
        }
        uint32_t slot = r->slots[--r->slot_count]; /* as many were taken as datagrams came */
        a->state[slot] = FM_RECEIVING;
        a->ingress[slot] = r->view->snapshot->links[in->link[i]].ingress;
        in->opening[kept] = in->opening[i];
        in->opening[kept].row = fm_row(r, slot);
        in->slot[kept++] = slot;
    }
    if (kept) fm_link_decrypt(k, in->opening, kept, r->plane->packet_size);
    in->n = 0;
    for (size_t i = 0; i < kept; i++) {
        if (in->opening[i].verdict != FM_OK) {
            fm_count_drop(r, in->opening[i].verdict);
            release(r, in->slot[i]);
            continue;
        }
        a->key_slot[in->slot[i]] = fm_row(r, in->slot[i])[FM_FRAME_SEALED_AT];
        in->slot[in->n++] = in->slot[i];
    }
    fm_wipe(in->opening, all * sizeof *in->opening); /* batch keys of dropped frames too */
}

/* Control may wipe a pair that is in use here, when keys burn, or after a stop of this process: a tag that was just made or
 * looked for may be that of zeros. Whoever wipes does it to the first word first, so a batch that finds it whole now has read
 * nothing of that. */
static void refuse_if_wiped(const struct fm_key *key, uint8_t *verdict, const uint32_t *slots, size_t n) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(key->whole, __ATOMIC_ACQUIRE)) return;
    for (size_t i = 0; i < n; i++)
        if (verdict[slots[i]] == FM_OK) verdict[slots[i]] = FM_DROP_KEY_SLOT;
}

/* All slots of one live key through unwrap check, replay set and unwrap apply. */
static void unwrap_with(struct fm_road *r, const struct fm_key *key, const uint32_t *slots, size_t n) {
    const struct fm_plane *p = r->plane;
    struct fm_unwrap u = {
        .packets = p->arena.rows + FM_FRAME_PACKET_AT,
        .stride = p->arena.stride,
        .payload_size = p->payload_size,
        .secret = key->secret,
        .replay_key = key->replay_key,
        .strict_kx = p->strict_kx,
        .columns = p->arena.columns,
        .scratch = &r->scratch->unwrap,
    };
    fm_unwrap_check(p->kernels, &u, slots, n);
    fm_replay_insert(&key->replay, p->arena.columns.tag, p->arena.columns.verdict, slots, n);
    refuse_if_wiped(key, p->arena.columns.verdict, slots, n);
    fm_unwrap_apply(p->kernels, &u, slots, n);
}

/* Whether a key may be used now, by the clock that its end is wiped by. */
static int is_live(const struct fm_key *key, int64_t boot_ns) {
    return key && boot_ns >= __atomic_load_n(&key->from_ns, __ATOMIC_RELAXED) &&
           boot_ns < __atomic_load_n(&key->until_ns, __ATOMIC_RELAXED) && !__atomic_load_n(&key->ended, __ATOMIC_SEQ_CST);
}

static void unwrap(struct fm_road *r, const struct arrivals *in) {
    const struct fm_arena *a = &r->plane->arena;
    int64_t boot_ns = in->now_ns + __atomic_load_n(&r->plane->boot_ahead_ns, __ATOMIC_RELAXED);
    uint32_t of_key[FM_BATCH_MAX];
    __atomic_store_n(&r->round, r->round + 1, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < in->n; i++) a->columns.verdict[in->slot[i]] = FM_DROP_KEY_SLOT;
    for (uint32_t i = 0; i < FM_KEYS_MAX; i++) {
        const struct fm_key *key = r->view->keys[i];
        size_t n = 0;
        if (!is_live(key, boot_ns)) continue;
        for (size_t j = 0; j < in->n; j++)
            if (a->key_slot[in->slot[j]] == key->key_slot) of_key[n++] = in->slot[j];
        if (n) unwrap_with(r, key, of_key, n);
    }
    __atomic_store_n(&r->round, r->round + 1, __ATOMIC_RELEASE);
}

/* A payload for this node itself, into the bounded sink. */
static uint8_t deliver(struct fm_road *r, uint32_t slot) {
    struct fm_plane *p = r->plane;
    fm_lock(&p->sink_lock);
    uint64_t head = *p->sink_head, tail = __atomic_load_n(p->sink_tail, __ATOMIC_ACQUIRE);
    int fits = head - tail < p->sink_capacity;
    if (fits) {
        uint8_t *row = p->sink_rows + (head % p->sink_capacity) * p->payload_size;
        memcpy(row, fm_row(r, slot) + FM_FRAME_PACKET_AT, p->payload_size);
        __atomic_store_n(p->sink_head, head + 1, __ATOMIC_RELEASE);
    }
    fm_unlock(&p->sink_lock);
    if (!fits) return FM_DROP_SINK_FULL;
    fm_count_add(r, FM_COUNT_DELIVERED, 1);
    return FM_OK;
}

/* Where a forwarded packet goes: its link and class, or a drop. */
static uint8_t route(struct fm_road *r, uint32_t slot) {
    struct fm_arena *a = &r->plane->arena;
    const struct fm_snapshot_copy *s = r->view->snapshot;
    int to_peer = a->columns.action[slot] == FM_ACTION_FORWARD_PEER;
    uint16_t next = a->columns.next_index[slot];
    a->link[slot] = to_peer ? fm_lookup_peer(r->view, a->columns.peer_id + 32 * (size_t)slot) : s->routes[next];
    a->class_[slot] = to_peer ? 0 : (uint8_t)(next % s->classes);
    if (a->link[slot] == FM_NO_LINK) return FM_DROP_NO_LINK;
    return fm_pool_enter(r->plane, a->class_[slot], s->pool_limit[a->class_[slot]]);
}

static void pool(struct fm_road *r, uint32_t slot, int64_t now_ns) {
    struct fm_arena *a = &r->plane->arena;
    a->arrival_ns[slot] = now_ns;
    a->deadline_ns[slot] = now_ns + (int64_t)(a->columns.delay[slot] * (double)r->view->snapshot->mean_delay_ns);
    __atomic_store_n(&a->state[slot], FM_POOLED, __ATOMIC_RELEASE);
    fm_count_add(r, FM_COUNT_POOLED, 1);
    fm_inbox_push(&r->inbox, slot);
}

static void settle(struct fm_road *r, uint32_t slot, int64_t now_ns) {
    uint8_t verdict = r->plane->arena.columns.verdict[slot];
    uint16_t action = r->plane->arena.columns.action[slot];
    int forward = action <= FM_ACTION_FORWARD_PEER;
    if (verdict == FM_OK && forward) verdict = route(r, slot);
    else if (verdict == FM_OK && action <= FM_ACTION_DELIVER_REPLY) verdict = deliver(r, slot);
    else if (verdict == FM_OK) fm_count_add(r, FM_COUNT_ABSORBED_COVER, 1);
    if (verdict == FM_OK && action == FM_ACTION_COVER_ID) fm_loop_returned(r, slot);
    if (verdict == FM_OK && forward) {
        pool(r, slot, now_ns);
        return;
    }
    if (verdict != FM_OK) fm_count_drop(r, verdict);
    release(r, slot);
}

/* Keeps the first n slots in hand. */
static void keep_slots(struct fm_road *r, uint32_t n) {
    if (r->slot_count <= n) return;
    fm_slots_give(r->plane, r->slots + n, r->slot_count - n);
    r->slot_count = n;
}

/* Takes no more datagrams than there are slots for: the pool's limit is kept before the work, not after it. A drain needs
 * none. */
static int take_datagrams(struct fm_road *r, int draining) {
    uint32_t most = r->plane->batch;
    if (!draining) most = r->slot_count = fm_slots_take(r->plane, r->slots, most);
    if (!most) return 0;
    int n = r->io->recv(r->io->context, r->received, most);
    keep_slots(r, n > 0 ? (uint32_t)n : 0);
    return n;
}

/* Counts what the kernel gave, the rest of a train too that waits for the next call: from here on a kill -9 cannot hide it. */
static void count_received(struct fm_road *r, uint32_t n) {
    uint32_t kept = r->io->kept ? r->io->kept(r->io->context) : 0;
    uint64_t came = (uint64_t)n + kept - r->kept;
    fm_count_add(r, FM_COUNT_RECEIVED, came);
    r->counters[FM_COUNT_IN_STAGE] += came;
    r->kept = kept;
    fm_road_commit(r);
}

int fm_road_receive(struct fm_road *r, int64_t now_ns) {
    struct arrivals in = {.opening = r->scratch->opening, .now_ns = now_ns, .draining = r->plane->command->drain != 0};
    __atomic_store_n(&r->view, __atomic_load_n(&r->plane->view, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
    int n = take_datagrams(r, in.draining);
    if (n <= 0) return n;
    count_received(r, (uint32_t)n);
    fm_road_pass(r, FM_FAIL_RECEIVED);
    admit(r, n, &in);
    open_frames(r, &in);
    fm_road_pass(r, FM_FAIL_OPENED);
    if (in.n) unwrap(r, &in);
    for (size_t i = 0; i < in.n; i++) settle(r, in.slot[i], now_ns);
    fm_burn_stack();
    r->counters[FM_COUNT_IN_STAGE] -= (uint64_t)n;
    fm_road_pass(r, FM_FAIL_POOLED);
    fm_road_commit(r);
    fm_inbox_show(r);
    keep_slots(r, 0);
    return n;
}
