/* What both halves of the road share: counters, recovery, snapshots, lookups, the loop of a single thread. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fm_road.h"

int64_t fm_clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *zeroed(size_t size) {
    void *memory = aligned_alloc(64, size);
    if (memory) memset(memory, 0, size);
    return memory;
}

struct fm_plane *fm_plane_new(uint32_t road_count) {
    struct fm_plane *p = zeroed(sizeof *p);
    if (!p) return NULL;
    p->roads = zeroed(road_count * sizeof *p->roads);
    if (!p->roads) {
        free(p);
        return NULL;
    }
    p->road_count = road_count;
    for (uint32_t i = 0; i < road_count; i++) p->roads[i].plane = p;
    return p;
}

void fm_plane_free(struct fm_plane *p) {
    if (!p) return;
    free(p->roads);
    free(p);
}

void fm_road_pass(struct fm_road *r, enum fm_fail place) {
    struct fm_plane *p = r->plane;
    if (p->fail_place == (uint32_t)place && __atomic_sub_fetch(&p->fail_after, 1, __ATOMIC_RELAXED) == 0) raise(SIGKILL);
}

void fm_road_commit(struct fm_road *r) {
    uint64_t next = r->page->generation + 1;
    memcpy(r->page->copy[next & 1], r->counters, sizeof r->counters);
    __atomic_store_n(&r->page->generation, next, __ATOMIC_RELEASE);
}

/* Every slot is pooled or free again; the pooled ones go to the mixer. Returns how many they are. */
static uint64_t sort_slots(struct fm_plane *p) {
    struct fm_arena *a = &p->arena;
    struct fm_inbox *inbox = &p->roads[0].inbox;
    uint64_t pooled = 0;
    memset(p->pooled, 0, sizeof p->pooled);
    p->free.lock = p->free.count = 0;
    for (uint32_t s = a->capacity; s-- > 0;) {
        if (a->state[s] == FM_POOLED) {
            p->pooled[a->class_[s] % FM_CLASSES_MAX]++;
            fm_inbox_push(inbox, s);
            pooled++;
        } else {
            a->state[s] = FM_FREE;
            p->free.slots[p->free.count++] = s;
        }
    }
    inbox->tail = inbox->pushed;
    return pooled;
}

/* The last committed counters of all threads of the life before, repaired: the state column is the truth about slots, they are
 * the truth about everything else. A packet that was counted as received, has no outcome and is not pooled was in the hands of
 * the process that died: drop_crash. */
static void sum_up(const struct fm_counters *of, uint64_t pooled, uint64_t *c) {
    const struct fm_counter_page *pages = of->page[of->life & 1];
    uint64_t outcomes = 0;
    memset(c, 0, FM_COUNTERS_MAX * sizeof *c);
    for (uint32_t i = 0; i <= FM_WORKERS_MAX; i++)
        for (uint32_t j = 0; j < FM_COUNTERS_MAX; j++) c[j] += pages[i].copy[pages[i].generation & 1][j];
    for (uint32_t i = FM_COUNT_FORWARDED; i <= FM_COUNT_ABSORBED_COVER; i++) outcomes += c[i];
    for (uint32_t i = FM_COUNT_DROPS; i < FM_COUNT_DROPS + FM_VERDICT_COUNT - 1; i++) outcomes += c[i];
    c[FM_COUNT_DROPS + FM_DROP_CRASH - 1] += c[FM_COUNT_RECEIVED] + c[FM_COUNT_ORIGINATED] - outcomes - pooled;
    c[FM_COUNT_CRASH_UNCERTAIN] += c[FM_COUNT_SENDING]; /* what the kernel was just given may have left */
    c[FM_COUNT_IN_STAGE] = c[FM_COUNT_SENDING] = 0;
    c[FM_COUNT_POOLED] = pooled;
}

/* A life writes only its own half of the pages, and becomes visible, whole, with one store: a kill before that changes nothing,
 * and a reader never sees half of it. */
static void begin_life(struct fm_plane *p, uint64_t pooled) {
    uint64_t life = p->counters->life + 1;
    struct fm_counter_page *pages = p->counters->page[life & 1];
    sum_up(p->counters, pooled, p->roads[0].counters);
    memset(pages, 0, sizeof p->counters->page[0]);
    for (uint32_t i = 0; i < p->road_count; i++) {
        p->roads[i].page = &pages[i];
        fm_road_commit(&p->roads[i]);
    }
    __atomic_store_n(&p->counters->life, life, __ATOMIC_RELEASE);
}

void fm_plane_recover(struct fm_plane *p) {
    begin_life(p, sort_slots(p));
    for (uint32_t i = 0; i < FM_LINKS_MAX; i++) { /* a step that may have been used is not used again, nor one beyond the limit */
        struct fm_link_state *l = &p->links[i];
        if (l->send_counter && (uint32_t)l->send_counter < (uint32_t)l->send_limit) l->send_counter++;
        l->lock = 0; /* whoever held it is gone */
    }
}

static uint32_t spread(uint64_t seed, uint64_t key) { return (uint32_t)(((key ^ seed) * 0x9e3779b97f4a7c15u) >> 52); }

static uint64_t peer_word(const uint8_t peer_id[32]) {
    uint64_t w[4];
    memcpy(w, peer_id, 32);
    return w[0] ^ w[1] * 3 ^ w[2] * 5 ^ w[3] * 7;
}

uint16_t fm_lookup_index(const struct fm_view *v, uint32_t receiver_index) {
    for (uint32_t at = spread(v->seed, receiver_index);; at = (at + 1) % (4 * FM_LINKS_MAX)) {
        uint16_t link = v->by_index[at];
        if (link == FM_NO_LINK || v->snapshot->links[link].index_in == receiver_index) return link;
    }
}

uint16_t fm_lookup_peer(const struct fm_view *v, const uint8_t peer_id[32]) {
    for (uint32_t at = spread(v->seed, peer_word(peer_id));; at = (at + 1) % (4 * FM_LINKS_MAX)) {
        uint16_t link = v->by_peer[at];
        if (link == FM_NO_LINK || memcmp(v->snapshot->links[link].peer_id, peer_id, 32) == 0) return link;
    }
}

static void place(uint16_t *table, uint32_t at, uint16_t link) {
    while (table[at] != FM_NO_LINK) at = (at + 1) % (4 * FM_LINKS_MAX);
    table[at] = link;
}

static void fill_view(struct fm_view *v, const struct fm_snapshot_copy *s) {
    memset(v->by_index, 0xff, sizeof v->by_index);
    memset(v->by_peer, 0xff, sizeof v->by_peer);
    for (uint32_t i = 0; i < s->link_count; i++) {
        const struct fm_snapshot_link *link = &s->links[i];
        if (!link->live) continue;
        place(v->by_index, spread(v->seed, link->index_in), (uint16_t)i);
        if (link->is_client && link->sends) place(v->by_peer, spread(v->seed, peer_word(link->peer_id)), (uint16_t)i);
    }
    fm_links_forward(v, s);
    v->snapshot = s;
}

int fm_plane_adopted(const struct fm_plane *p) {
    for (uint32_t i = 0; i < p->road_count; i++)
        if (__atomic_load_n(&p->roads[i].view, __ATOMIC_ACQUIRE) != p->view) return 0;
    return 1;
}

/* Road 0 takes it at once, for it is its thread that calls; the others before their next batch. */
int fm_plane_adopt(struct fm_plane *p, const struct fm_snapshot_copy *s, const uint8_t places[FM_KEYS_MAX]) {
    struct fm_view *next = p->view == &p->views[0] ? &p->views[1] : &p->views[0];
    uint64_t room = 0;
    if (p->view && !fm_plane_adopted(p)) return 0;
    fill_view(next, s);
    for (int i = 0; i < FM_KEYS_MAX; i++) next->keys[i] = places[i] < FM_KEY_PLACES ? &p->keys[places[i]] : NULL;
    fm_links_adopt(p, s);
    for (int c = 0; c < FM_CLASSES_MAX; c++) room += s->pool_limit[c];
    p->pool_room = room < p->arena.capacity ? (uint32_t)room : p->arena.capacity;
    __atomic_store_n(&p->view, next, __ATOMIC_RELEASE);
    __atomic_store_n(&p->roads[0].view, next, __ATOMIC_RELEASE);
    return 1;
}

static void wait_a_little(void) {
    struct timespec t = {0, 20000};
    nanosleep(&t, NULL);
}

/* A thread says that it uses keys before it looks whether they have ended, both sequentially consistent: either it sees the end,
 * or this sees it at work and waits until its batch is done. */
void fm_plane_end_key(struct fm_plane *p, uint32_t place) {
    __atomic_store_n(&p->keys[place].ended, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < p->road_count; i++) {
        uint32_t round = __atomic_load_n(&p->roads[i].round, __ATOMIC_SEQ_CST);
        while (round & 1 && __atomic_load_n(&p->roads[i].round, __ATOMIC_ACQUIRE) == round) wait_a_little();
    }
}
