/* Rows that come, change and go while the node runs: what becomes of their state when a snapshot is adopted, and of packets that
 * wait for them. Road: **here** is between snapshots; the mixer's thread only. */
#include <string.h>

#include "fm_road.h"

/* The end of the chain, or nothing where that is no live row. */
static uint16_t follow(const struct fm_snapshot_copy *s, uint16_t row) {
    for (uint32_t i = 0; i < s->link_count && row < s->link_count; i++) {
        uint16_t next = s->links[row].next;
        if (next == row) return s->links[row].live ? row : FM_NO_LINK;
        row = next;
    }
    return FM_NO_LINK;
}

void fm_links_forward(struct fm_view *v, const struct fm_snapshot_copy *s) {
    for (uint32_t i = 0; i < FM_LINKS_MAX; i++) v->forward[i] = follow(s, (uint16_t)i);
}

/* The serial comes last: killed before it, the next data plane begins anew too, and nothing was sealed or accepted meanwhile;
 * killed after it, that one goes on with the counters as they are. */
static void reset_row(struct fm_plane *p, struct fm_link_state *l, const struct fm_snapshot_link *of) {
    memset(&l->window, 0, sizeof l->window);
    __atomic_store_n(&l->send_counter, 0, __ATOMIC_RELEASE);
    fm_road_pass(p->roads, FM_FAIL_RESETTING);
    __atomic_store_n(&l->send_limit, of->send_limit, __ATOMIC_RELEASE);
    __atomic_store_n(&l->serial, of->serial, __ATOMIC_RELEASE);
}

static void reset_peer(struct fm_link_state *l, const struct fm_snapshot_link *of) {
    fm_lock(&l->lock);
    l->address.size = 0;
    l->bucket_ns = 0;
    l->heard = 0;
    __atomic_store_n(&l->peer_serial, of->peer_serial, __ATOMIC_RELEASE);
    fm_unlock(&l->lock);
}

void fm_links_adopt(struct fm_plane *p, const struct fm_snapshot_copy *s) {
    for (uint32_t i = 0; i < s->link_count; i++) {
        const struct fm_snapshot_link *of = &s->links[i];
        struct fm_link_state *peer = &p->links[of->ingress % FM_LINKS_MAX];
        if (!of->live) continue;
        if (of->serial && p->links[i].serial != of->serial) reset_row(p, &p->links[i], of);
        if (peer->peer_serial != of->peer_serial) reset_peer(peer, of);
        if (of->is_client || !of->sends) continue;
        fm_lock(&peer->lock);
        peer->address = of->address;
        fm_unlock(&peer->lock);
    }
    fm_road_pass(p->roads, FM_FAIL_RESET);
}

/* A slot that is pooled is the mixer's. */
void fm_plane_settle(struct fm_plane *p) {
    struct fm_arena *a = &p->arena;
    for (uint32_t s = 0; s < a->capacity; s++) {
        if (__atomic_load_n(&a->state[s], __ATOMIC_ACQUIRE) != FM_POOLED) continue;
        uint16_t row = fm_forward(p->view, a->link[s]);
        if (row == a->link[s]) continue;
        a->link[s] = row;
        fm_road_pass(p->roads, FM_FAIL_SETTLING);
    }
}
