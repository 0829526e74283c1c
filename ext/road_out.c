/* The road out: pooled -> leaving -> counters committed -> sealed in place -> sent. A slot that was leaving is never sent by a
 * later process, and no (key, nonce) is used twice: the counter after a batch is stored before the batch is sealed. */
#include <string.h>

#include "fm_road.h"

struct departures { /* one chunk on its way out */
    struct fm_sealing sealing[FM_BATCH_MAX];
    uint32_t slot[FM_BATCH_MAX];
    size_t n, keys;
};

static void finish(struct fm_road *r, uint32_t slot) {
    r->arena.state[slot] = FM_FREE;
    r->free_slots[r->free_count++] = slot;
}

/* Takes n sequence numbers and one step of a link, or says why not. */
static uint8_t reserve(struct fm_road *r, uint16_t link, uint32_t n, uint64_t *first) {
    struct fm_link_state *l = &r->links[link];
    uint64_t now = __atomic_load_n(&l->send_counter, __ATOMIC_ACQUIRE), limit = __atomic_load_n(&l->send_limit, __ATOMIC_ACQUIRE);
    uint64_t step = (uint32_t)now, seq = now >> 32;
    if (!__atomic_load_n(&l->address.size, __ATOMIC_ACQUIRE)) return FM_DROP_NO_ADDRESS;
    if (step + 1 > FM_COUNTER_END || seq + n > FM_COUNTER_END) return FM_DROP_LINK_EXHAUSTED;
    if (step + 1 > (uint32_t)limit || seq + n > limit >> 32) return FM_DROP_LINK_STALLED;
    *first = now;
    __atomic_store_n(&l->send_counter, FM_COUNTER(step + 1, seq + n), __ATOMIC_SEQ_CST);
    return FM_OK;
}

static void send_chunk(struct fm_road *r, struct departures *out) {
    if (!out->n) return;
    fm_link_seal(r->kernels, out->sealing, out->n, r->packet_size);
    fm_road_pass(r, FM_FAIL_SEALED);
    for (size_t i = 0; i < out->n; i++) {
        r->outgoing[i].data = out->sealing[i].row;
        r->outgoing[i].size = r->frame_size;
        r->outgoing[i].to = r->links[r->arena.link[out->slot[i]]].address;
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
    fm_wipe(r->scratch->batch_key, sizeof r->scratch->batch_key);
    out->n = out->keys = 0;
}

/* A run of slots of one link: one batch under one key. It may go out in several chunks; the key is made anew for each. */
static void seal_run(struct fm_road *r, struct departures *out, const uint32_t *slots, uint32_t n) {
    uint16_t link = r->arena.link[slots[0]];
    const struct fm_snapshot_link *to = &r->snapshot->links[link];
    uint64_t first = 0;
    uint8_t verdict = reserve(r, link, n, &first);
    const uint8_t *key = NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (verdict != FM_OK) {
            fm_count_drop(r, verdict);
            r->counters[FM_COUNT_IN_STAGE]--;
            continue;
        }
        if (out->n == FM_BATCH_MAX) {
            send_chunk(r, out);
            key = NULL;
        }
        if (!key) {
            key = r->scratch->batch_key[out->keys++];
            fm_batch_key(r->kernels, (uint8_t *)key, to->send.root, (uint32_t)first);
        }
        out->slot[out->n] = slots[i];
        out->sealing[out->n++] = (struct fm_sealing){
            .row = fm_row(r, slots[i]), .root = &to->send, .batch_key = key, .receiver_index = to->index_out,
            .counter = FM_COUNTER((uint32_t)first, (first >> 32) + i)};
        fm_row(r, slots[i])[FM_FRAME_SEALED_AT] = r->arena.key_slot[slots[i]];
    }
    if (verdict == FM_OK) return;
    fm_road_commit(r);
    for (uint32_t i = 0; i < n; i++) finish(r, slots[i]);
}

/* Out of the pool: the state first, then the counters. */
static void take(struct fm_road *r, const uint32_t *slots, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        r->arena.state[slots[i]] = FM_LEAVING;
        r->pooled[r->arena.class_[slots[i]] % FM_CLASSES_MAX]--;
    }
    r->counters[FM_COUNT_IN_STAGE] = n;
    fm_road_commit(r);
    fm_road_pass(r, FM_FAIL_LEAVING);
}

void fm_road_leave(struct fm_road *r, const uint32_t *slots, uint32_t n) {
    struct departures out = {.n = 0, .keys = 0};
    take(r, slots, n);
    for (uint32_t i = 0; i < n;) {
        uint32_t end = i + 1;
        while (end < n && r->arena.link[slots[end]] == r->arena.link[slots[i]]) end++;
        seal_run(r, &out, slots + i, end - i);
        i = end;
    }
    send_chunk(r, &out);
    fm_burn_stack();
}

void fm_road_drop(struct fm_road *r, const uint32_t *slots, uint32_t n, uint8_t verdict) {
    take(r, slots, n);
    for (uint32_t i = 0; i < n; i++) fm_count_drop(r, verdict);
    r->counters[FM_COUNT_IN_STAGE] = 0;
    fm_road_commit(r);
    for (uint32_t i = 0; i < n; i++) finish(r, slots[i]);
}
