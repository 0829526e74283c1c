/* What both halves of the road share: counters, recovery, snapshots, lookups, the loop. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <time.h>

#include "fm_road.h"

int64_t fm_clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void fm_road_pass(struct fm_road *r, enum fm_fail place) {
    if (r->fail_place == (uint32_t)place && --r->fail_after == 0) raise(SIGKILL);
}

void fm_road_commit(struct fm_road *r) {
    uint64_t pooled = 0, next = r->page->generation + 1;
    for (int c = 0; c < FM_CLASSES_MAX; c++) pooled += r->pooled[c];
    r->counters[FM_COUNT_POOLED] = pooled;
    memcpy(r->page->copy[next & 1], r->counters, sizeof r->counters);
    __atomic_store_n(&r->page->generation, next, __ATOMIC_RELEASE);
}

/* The state column is the truth about slots, the last committed copy the truth about everything else. A packet that was
 * counted as
 * received, has no outcome and is not pooled was in the hands of the process that died: drop_crash. */
void fm_road_recover(struct fm_road *r) {
    struct fm_arena *a = &r->arena;
    uint64_t *c = r->counters, outcomes = 0, pooled = 0;
    memcpy(c, r->page->copy[r->page->generation & 1], sizeof r->counters);
    memset(r->pooled, 0, sizeof r->pooled);
    r->free_count = r->inbox_count = 0;
    for (uint32_t s = a->capacity; s-- > 0;) {
        if (a->state[s] == FM_POOLED) {
            r->pooled[a->class_[s] % FM_CLASSES_MAX]++;
            r->inbox[r->inbox_count++] = s;
            pooled++;
            continue;
        }
        a->state[s] = FM_FREE;
        r->free_slots[r->free_count++] = s;
    }
    for (uint32_t i = FM_COUNT_FORWARDED; i <= FM_COUNT_ABSORBED_COVER; i++) outcomes += c[i];
    for (uint32_t i = FM_COUNT_DROPS; i < FM_COUNT_DROPS + FM_VERDICT_COUNT - 1; i++) outcomes += c[i];
    uint64_t lost = c[FM_COUNT_RECEIVED] + c[FM_COUNT_ORIGINATED] - outcomes - pooled;
    c[FM_COUNT_DROPS + FM_DROP_CRASH - 1] += lost;
    c[FM_COUNT_CRASH_UNCERTAIN] += c[FM_COUNT_SENDING]; /* what the kernel was just given may have left */
    c[FM_COUNT_IN_STAGE] = c[FM_COUNT_SENDING] = 0;
    for (uint32_t i = 0; i < FM_LINKS_MAX; i++) { /* a step that may have been used is not used again, nor one beyond the limit */
        struct fm_link_state *l = &r->links[i];
        if (l->send_counter && (uint32_t)l->send_counter < (uint32_t)l->send_limit) l->send_counter++;
    }
    fm_road_commit(r);
}

static uint32_t spread(uint64_t seed, uint64_t key) { return (uint32_t)(((key ^ seed) * 0x9e3779b97f4a7c15u) >> 52); }

static uint64_t peer_word(const uint8_t peer_id[32]) {
    uint64_t w[4];
    memcpy(w, peer_id, 32);
    return w[0] ^ w[1] * 3 ^ w[2] * 5 ^ w[3] * 7;
}

uint16_t fm_lookup_index(const struct fm_road *r, uint32_t receiver_index) {
    for (uint32_t at = spread(r->lookup.seed, receiver_index);; at = (at + 1) % (4 * FM_LINKS_MAX)) {
        uint16_t link = r->lookup.by_index[at];
        if (link == FM_NO_LINK || r->snapshot->links[link].index_in == receiver_index) return link;
    }
}

uint16_t fm_lookup_peer(const struct fm_road *r, const uint8_t peer_id[32]) {
    for (uint32_t at = spread(r->lookup.seed, peer_word(peer_id));; at = (at + 1) % (4 * FM_LINKS_MAX)) {
        uint16_t link = r->lookup.by_peer[at];
        if (link == FM_NO_LINK || memcmp(r->snapshot->links[link].peer_id, peer_id, 32) == 0) return link;
    }
}

static void place(uint16_t *table, uint32_t at, uint16_t link) {
    while (table[at] != FM_NO_LINK) at = (at + 1) % (4 * FM_LINKS_MAX);
    table[at] = link;
}

void fm_road_adopt(struct fm_road *r, const struct fm_snapshot_copy *s) {
    memset(r->lookup.by_index, 0xff, sizeof r->lookup.by_index);
    memset(r->lookup.by_peer, 0xff, sizeof r->lookup.by_peer);
    for (uint32_t i = 0; i < s->link_count; i++) {
        const struct fm_snapshot_link *link = &s->links[i];
        place(r->lookup.by_index, spread(r->lookup.seed, link->index_in), (uint16_t)i);
        if (link->is_client)
            place(r->lookup.by_peer, spread(r->lookup.seed, peer_word(link->peer_id)), (uint16_t)i);
        else
            r->links[i].address = link->address;
        r->links[i].lock = 0; /* whoever held it is gone */
    }
    r->snapshot = s;
}

static void nap(int64_t ns) {
    struct timespec t = {0, ns};
    if (ns > 0) clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/* Full batches follow each other at once. After a short one a nap lets the next batch gather: waking for each datagram costs
 * more than
 * the 0.2 ms. With nothing there, wait in the kernel. */
void fm_road_run(struct fm_road *r, int64_t until_ns) {
    uint32_t wake = r->command->wake;
    for (;;) {
        int64_t now = fm_clock_ns();
        if (now >= until_ns || r->command->wake != wake) return;
        int n = fm_road_receive(r, now);
        if (r->inbox_count && now + r->tick_ns < until_ns) until_ns = now + r->tick_ns;
        if (r->inbox_count >= r->arena.capacity / 2) return;
        if (n >= (int)r->batch) continue;
        int64_t left = until_ns - fm_clock_ns();
        if (left <= 0) return;
        if (n > 0)
            nap(left < r->nap_ns ? left : r->nap_ns);
        else if (r->io->wait(r->io->context, left) != 0)
            return;
    }
}
