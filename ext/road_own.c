/* The node's own loops: how they come into the pool, from control, and how control hears that one is back. Road: control builds
 * -> **here** -> pool -> ... -> other nodes -> unwrap -> **here**.
 * From the pool on nothing tells them from other packets, but the share that they have in the floor. */
#include <string.h>

#include "fm_road.h"

/* Into a row, out of the ring; not yet in the pool. */
static void fill(struct fm_road *r, const struct fm_origin *from, uint32_t slot, int64_t now_ns) {
    struct fm_arena *a = &r->plane->arena;
    const struct fm_snapshot_copy *s = r->view->snapshot;
    a->state[slot] = FM_RECEIVING;
    memcpy(fm_row(r, slot) + FM_FRAME_PACKET_AT, from->packet, r->plane->packet_size);
    a->key_slot[slot] = from->key_slot;
    a->class_[slot] = (uint8_t)(from->next_index % s->classes);
    a->link[slot] = s->routes[from->next_index];
    a->ingress[slot] = FM_NO_LINK;
    a->arrival_ns[slot] = now_ns;
    a->deadline_ns[slot] = from->due_ns;
}

/* Into the pool, or a drop. */
static uint8_t join(struct fm_road *r, uint32_t slot) {
    struct fm_arena *a = &r->plane->arena;
    uint8_t class_ = a->class_[slot];
    if (a->link[slot] == FM_NO_LINK) return FM_DROP_NO_LINK;
    uint8_t verdict = fm_pool_enter(r->plane, class_, r->view->snapshot->pool_limit[class_]);
    if (verdict != FM_OK) return verdict;
    __atomic_store_n(&a->state[slot], FM_POOLED, __ATOMIC_RELEASE);
    fm_count_add(r, FM_COUNT_POOLED, 1);
    fm_inbox_push(&r->inbox, slot);
    return FM_OK;
}

/* First the counters, then the ring's word, then the pool. Killed before the ring's word, the next mixer takes the same packets
 * again, for those in the rows are free again and counted as drop_crash; killed after it, nobody does. */
uint32_t fm_road_originate(struct fm_road *r, int64_t now_ns) {
    struct fm_cover *c = r->plane->cover;
    uint64_t taken = c->taken, waiting = __atomic_load_n(&c->offered, __ATOMIC_ACQUIRE) - taken;
    uint32_t n, refused = 0;
    if (!waiting || waiting > FM_ORIGIN_ROWS || r->plane->command->drain) return 0;
    n = fm_slots_take(r->plane, r->slots, (uint32_t)waiting);
    for (uint32_t i = 0; i < n; i++) fill(r, &c->origins[(taken + i) % FM_ORIGIN_ROWS], r->slots[i], now_ns);
    if (!n) return 0;
    fm_count_add(r, FM_COUNT_ORIGINATED, n);
    r->counters[FM_COUNT_IN_STAGE] += n;
    fm_road_commit(r);
    fm_road_pass(r, FM_FAIL_ORIGINATED);
    __atomic_store_n(&c->taken, taken + n, __ATOMIC_RELEASE);
    fm_road_pass(r, FM_FAIL_TAKEN);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t verdict = join(r, r->slots[i]);
        if (verdict == FM_OK) continue;
        fm_count_drop(r, verdict);
        r->plane->arena.state[r->slots[i]] = FM_FREE;
        r->slots[refused++] = r->slots[i];
    }
    r->counters[FM_COUNT_IN_STAGE] -= n;
    fm_road_commit(r);
    fm_inbox_show(r);
    fm_slots_give(r->plane, r->slots, refused);
    return n - refused;
}

/* Anyone may send covers with ids here: those without the mark, which only this node knows, cannot crowd the others out. */
void fm_loop_returned(struct fm_road *r, uint32_t slot) {
    struct fm_plane *p = r->plane;
    struct fm_cover *c = p->cover;
    const uint8_t *id = p->arena.columns.surb_id + FM_SURB_ID_SIZE * (size_t)slot;
    uint64_t mark;
    memcpy(&mark, id, sizeof mark);
    if (!mark || mark != __atomic_load_n(&c->mark, __ATOMIC_RELAXED)) return;
    fm_lock(&p->sink_lock);
    if (c->returned - __atomic_load_n(&c->read, __ATOMIC_ACQUIRE) < FM_RETURNED_MAX) {
        memcpy(c->ids[c->returned % FM_RETURNED_MAX], id, FM_SURB_ID_SIZE);
        __atomic_store_n(&c->returned, c->returned + 1, __ATOMIC_RELEASE);
    }
    fm_unlock(&p->sink_lock);
}
