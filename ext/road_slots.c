/* What threads hand to each other: locks, free slots, pooled slots. Road: **here** is between the workers and the mixer. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fm_road.h"

enum {
    SPINS = 200,          /* looks at a lock before its holder may be taken for descheduled */
    YIELDS = 16,          /* then so often another thread is let in, which helps only those of the same priority */
    GIVE_WAY_NS = 50000   /* then it sleeps between looks */
};

static void give_way(uint32_t tries) {
    struct timespec t = {0, GIVE_WAY_NS};
    if (tries < YIELDS) sched_yield();
    else nanosleep(&t, NULL);
}

void fm_lock(uint32_t *lock) {
    for (uint32_t tries = 0; __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE); tries++)
        for (uint32_t i = 0; __atomic_load_n(lock, __ATOMIC_RELAXED); i++)
            if (i == SPINS) {
                give_way(tries);
                break;
            }
}

void fm_unlock(uint32_t *lock) { __atomic_store_n(lock, 0, __ATOMIC_RELEASE); }

/* Slots in use and slots in hand count alike: what is taken in now has to have room in the pool later. */
uint32_t fm_slots_room(const struct fm_plane *p) {
    uint32_t used = p->arena.capacity - __atomic_load_n(&p->free.count, __ATOMIC_RELAXED);
    return used < p->pool_room ? p->pool_room - used : 0;
}

uint32_t fm_slots_take(struct fm_plane *p, uint32_t *slots, uint32_t n) {
    fm_lock(&p->free.lock);
    uint32_t room = fm_slots_room(p);
    if (n > room) n = room;
    __atomic_store_n(&p->free.count, p->free.count - n, __ATOMIC_RELAXED);
    memcpy(slots, p->free.slots + p->free.count, n * sizeof *slots);
    fm_unlock(&p->free.lock);
    return n;
}

void fm_slots_give(struct fm_plane *p, const uint32_t *slots, uint32_t n) {
    if (!n) return;
    fm_lock(&p->free.lock);
    memcpy(p->free.slots + p->free.count, slots, n * sizeof *slots);
    __atomic_store_n(&p->free.count, p->free.count + n, __ATOMIC_RELAXED);
    fm_unlock(&p->free.lock);
}

uint8_t fm_pool_enter(struct fm_plane *p, uint8_t class_, uint64_t limit) {
    if (__atomic_fetch_add(&p->pooled[class_], 1, __ATOMIC_RELAXED) < limit) return FM_OK;
    __atomic_fetch_sub(&p->pooled[class_], 1, __ATOMIC_RELAXED);
    return FM_DROP_POOL_FULL;
}

void fm_inbox_push(struct fm_inbox *b, uint32_t slot) { b->slots[b->pushed++ & b->mask] = slot; }

static void ring(struct fm_plane *p) {
    __atomic_fetch_add(&p->bell, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &p->bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* No system call as long as the mixer is awake. Either it sees the tail after it has said that it sleeps, or this thread sees
 * that it sleeps after having set the tail: both orders are sequentially consistent. */
void fm_inbox_show(struct fm_road *r) {
    struct fm_inbox *b = &r->inbox;
    if (b->tail == b->pushed) return;
    __atomic_store_n(&b->tail, b->pushed, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&r->plane->asleep, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&r->plane->asleep, 0, __ATOMIC_SEQ_CST))
        ring(r->plane);
}

uint32_t fm_inbox_waiting(const struct fm_plane *p) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->road_count; i++) {
        const struct fm_inbox *b = &p->roads[i].inbox;
        n += __atomic_load_n(&b->tail, __ATOMIC_SEQ_CST) - b->head;
    }
    return n;
}

uint32_t fm_plane_inbox(struct fm_plane *p, uint32_t *slots, uint32_t n) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < p->road_count; i++) {
        struct fm_inbox *b = &p->roads[i].inbox;
        uint32_t tail = __atomic_load_n(&b->tail, __ATOMIC_ACQUIRE);
        while (b->head != tail && taken < n) slots[taken++] = b->slots[b->head++ & b->mask];
    }
    return taken;
}

/* Interrupted by a signal: back to Python, whose handler it is. */
static int sleep_for(struct fm_plane *p, int64_t wait_ns) {
    struct timespec t = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    uint32_t bell = __atomic_load_n(&p->bell, __ATOMIC_SEQ_CST);
    long result = 0;
    __atomic_store_n(&p->asleep, 1, __ATOMIC_SEQ_CST);
    if (!fm_inbox_waiting(p)) result = syscall(SYS_futex, &p->bell, FUTEX_WAIT_PRIVATE, bell, &t, NULL, 0);
    __atomic_store_n(&p->asleep, 0, __ATOMIC_SEQ_CST);
    return result == 0;
}

void fm_plane_wait(struct fm_plane *p, int64_t until_ns) {
    uint32_t wake = p->command->wake;
    int64_t now = fm_clock_ns();
    if (now < until_ns && !fm_inbox_waiting(p)) {
        (void)sleep_for(p, until_ns - now);
        now = fm_clock_ns();
    }
    if (!fm_inbox_waiting(p) || p->command->wake != wake) return;
    int64_t nap_ns = until_ns - now < p->tick_ns ? until_ns - now : p->tick_ns;
    struct timespec t = {.tv_sec = nap_ns / 1000000000, .tv_nsec = nap_ns % 1000000000};
    if (nap_ns > 0) nanosleep(&t, NULL);
}
