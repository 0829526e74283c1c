/* The road out: pooled -> leaving -> counters committed -> sealed in place -> sent. A slot that was leaving is never sent by a
 * later process, and no (key, nonce) is used twice: the counter after a batch is stored before the batch is sealed. One thread
 * only, the mixer. */
#include <string.h>

#include "bytes.h"
#include "fm_road.h"

struct departures { /* one chunk on its way out: n slots in some runs, each of one link and one step */
    struct fm_sealing sealing[FM_BATCH_MAX];
    uint32_t slot[FM_BATCH_MAX];
    uint16_t run[FM_BATCH_MAX];
    struct fm_address to[FM_BATCH_MAX];
    const uint8_t *root[FM_BATCH_MAX];
    uint8_t counter[FM_BATCH_MAX][8];
    size_t n, runs;
};

static void give_back(struct fm_road *r) {
    fm_slots_give(r->plane, r->slots, r->slot_count);
    r->slot_count = 0;
}

static void finish(struct fm_road *r, uint32_t slot) {
    if (r->slot_count == FM_BATCH_MAX) give_back(r);
    r->plane->arena.state[slot] = FM_FREE;
    r->slots[r->slot_count++] = slot;
}

/* Takes n sequence numbers and one step of a row, or says why not. A client's address may be learned meanwhile. */
static uint8_t reserve(struct fm_road *r, uint16_t row, uint32_t n, uint64_t *first, struct fm_address *to) {
    if (row == FM_NO_LINK) return FM_DROP_LINK_GONE;
    struct fm_link_state *l = &r->plane->links[row], *peer = &r->plane->links[r->view->snapshot->links[row].ingress];
    uint64_t now = __atomic_load_n(&l->send_counter, __ATOMIC_ACQUIRE), limit = __atomic_load_n(&l->send_limit, __ATOMIC_ACQUIRE);
    uint64_t step = (uint32_t)now, seq = now >> 32;
    fm_lock(&peer->lock);
    *to = peer->address;
    fm_unlock(&peer->lock);
    if (!to->size) return FM_DROP_NO_ADDRESS;
    if (step + 1 > FM_COUNTER_END || seq + n > FM_COUNTER_END) return FM_DROP_LINK_EXHAUSTED;
    if (step + 1 > (uint32_t)limit || seq + n > limit >> 32) return FM_DROP_LINK_STALLED;
    *first = now;
    __atomic_store_n(&l->send_counter, FM_COUNTER(step + 1, seq + n), __ATOMIC_SEQ_CST);
    return FM_OK;
}

/* The keys of all runs of the chunk at once, for a hash of one lane costs as much as one of many. */
static void seal_chunk(struct fm_road *r, struct departures *out) {
    uint8_t *keys[FM_BATCH_MAX];
    const uint8_t *counters[FM_BATCH_MAX];
    for (size_t i = 0; i < out->runs; i++) {
        keys[i] = r->scratch->batch_key[i];
        counters[i] = out->counter[i];
    }
    fm_batch_keys(r->plane->kernels, keys, out->root, counters, out->runs);
    for (size_t i = 0; i < out->n; i++) out->sealing[i].batch_key = r->scratch->batch_key[out->run[i]];
    fm_link_seal(r->plane->kernels, out->sealing, out->n, r->plane->packet_size);
    fm_wipe(r->scratch->batch_key, out->runs * sizeof r->scratch->batch_key[0]);
}

static void send_chunk(struct fm_road *r, struct departures *out) {
    if (!out->n) return;
    seal_chunk(r, out);
    fm_road_pass(r, FM_FAIL_SEALED);
    for (size_t i = 0; i < out->n; i++) {
        r->outgoing[i].data = out->sealing[i].row;
        r->outgoing[i].size = r->plane->frame_size;
        r->outgoing[i].to = out->to[out->run[i]];
    }
    r->counters[FM_COUNT_SENDING] = out->n;
    fm_road_commit(r);
    r->io->send(r->io->context, r->outgoing, (uint32_t)out->n);
    fm_road_pass(r, FM_FAIL_SENT);
    for (size_t i = 0; i < out->n; i++) {
        if (r->outgoing[i].result == 0) fm_count_add(r, FM_COUNT_FORWARDED, 1);
        else fm_count_drop(r, FM_DROP_SEND);
    }
    r->counters[FM_COUNT_IN_STAGE] -= out->n;
    r->counters[FM_COUNT_SENDING] = 0;
    fm_road_commit(r);
    fm_road_pass(r, FM_FAIL_COMMITTED);
    for (size_t i = 0; i < out->n; i++) finish(r, out->slot[i]);
    give_back(r);
    out->n = out->runs = 0;
}

/* Room for one more slot of this run, which begins at counter `first`. A run may go out in several chunks: the key of its step is
 * then made anew for each. */
static size_t next_place(struct fm_road *r, struct departures *out, const struct fm_root *root, uint64_t first,
                         const struct fm_address *to, int *open) {
    if (out->n == FM_BATCH_MAX) {
        send_chunk(r, out);
        *open = 0;
    }
    if (!*open) {
        fm_store64(out->counter[out->runs], first);
        out->root[out->runs] = root->root;
        out->to[out->runs++] = *to;
        *open = 1;
    }
    return out->n++;
}

/* A run of slots of one row: one batch under one key. */
static void add_run(struct fm_road *r, struct departures *out, const uint32_t *slots, uint32_t n, uint16_t row, uint64_t first,
                    const struct fm_address *to) {
    const struct fm_arena *a = &r->plane->arena;
    const struct fm_snapshot_link *link = &r->view->snapshot->links[row];
    int open = 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t at = next_place(r, out, &link->send, first, to, &open);
        out->slot[at] = slots[i];
        out->run[at] = (uint16_t)(out->runs - 1);
        out->sealing[at] = (struct fm_sealing){
            .row = fm_row(r, slots[i]), .root = &link->send, .receiver_index = link->index_out,
            .counter = FM_COUNTER((uint32_t)first, (first >> 32) + i)};
        fm_row(r, slots[i])[FM_FRAME_SEALED_AT] = a->key_slot[slots[i]];
    }
}

static void drop_run(struct fm_road *r, const uint32_t *slots, uint32_t n, uint8_t verdict) {
    r->counters[FM_COUNT_DROPS + verdict - 1] += n;
    r->counters[FM_COUNT_IN_STAGE] -= n;
    fm_road_commit(r);
    for (uint32_t i = 0; i < n; i++) finish(r, slots[i]);
    give_back(r);
}

/* Out of the pool: the state first, then the counters. */
static void take(struct fm_road *r, const uint32_t *slots, uint32_t n) {
    struct fm_plane *p = r->plane;
    uint64_t of_class[FM_CLASSES_MAX] = {0};
    for (uint32_t i = 0; i < n; i++) {
        p->arena.state[slots[i]] = FM_LEAVING;
        of_class[p->arena.class_[slots[i]] % FM_CLASSES_MAX]++;
    }
    for (int c = 0; c < FM_CLASSES_MAX; c++)
        if (of_class[c]) __atomic_fetch_sub(&p->pooled[c], of_class[c], __ATOMIC_RELAXED);
    r->counters[FM_COUNT_POOLED] -= n;
    r->counters[FM_COUNT_IN_STAGE] += n;
    fm_road_commit(r);
    fm_road_pass(r, FM_FAIL_LEAVING);
}

void fm_road_leave(struct fm_road *r, const uint32_t *slots, uint32_t n) {
    const uint16_t *link = r->plane->arena.link;
    struct departures out; /* not cleared: what is counted is written */
    out.n = out.runs = 0;
    take(r, slots, n);
    for (uint32_t i = 0, end; i < n; i = end) {
        struct fm_address to;
        uint64_t first = 0;
        for (end = i + 1; end < n && link[slots[end]] == link[slots[i]];) end++;
        uint16_t row = fm_forward(r->view, link[slots[i]]);
        uint8_t verdict = reserve(r, row, end - i, &first, &to);
        if (verdict == FM_OK) add_run(r, &out, slots + i, end - i, row, first, &to);
        else drop_run(r, slots + i, end - i, verdict);
    }
    send_chunk(r, &out);
    fm_burn_stack();
}

void fm_road_drop(struct fm_road *r, const uint32_t *slots, uint32_t n, uint8_t verdict) {
    take(r, slots, n);
    drop_run(r, slots, n, verdict);
}
