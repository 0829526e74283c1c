/* The loops: one thread that receives and mixes in turn, or workers that receive for life beside a mixer. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fm_road.h"

enum {
    LANES = 8,             /* fewer packets cost as much as so many, with the widest kernels */
    WORTH = 64,            /* with room for fewer packets it is better to let the mixer make some */
    FULL_NS = 50000,       /* the shortest nap beside a full pool: without any the mixer would have to wait for this CPU */
    WAIT_NS = 20000000,    /* a worker looks at least so often whether it has to end */
    TROUBLE_NS = 1000000   /* between two tries at a socket that fails */
};

static void nap(int64_t ns) {
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    if (ns > 0) nanosleep(&t, NULL);
}

/* 1 if there is nothing to be received for: the pool is full, and what more comes waits in the socket, or is dropped by the
 * kernel, which is cheaper than to drop it here. With little room a nap first, for a small batch costs as much as a large one. */
static int is_full(const struct fm_plane *p, int64_t left_ns) {
    uint32_t worth = p->pool_room / 8 < WORTH ? p->pool_room / 8 : WORTH;
    if (p->command->drain || fm_slots_room(p) > worth) return 0;
    int64_t nap_ns = p->nap_ns < FULL_NS ? FULL_NS : p->nap_ns;
    nap(left_ns < nap_ns ? left_ns : nap_ns);
    return fm_slots_room(p) == 0;
}

/* Full batches follow each other at once. After a short one a nap lets the next batch gather, after a very short one twice as
 * long: waking for each datagram costs more than the 0.2 ms. With nothing there, wait in the kernel. */
static void pause_after(const struct fm_road *r, int received, int64_t left_ns) {
    int64_t nap_ns = received < 0 ? TROUBLE_NS : received < LANES ? 2 * r->plane->nap_ns : r->plane->nap_ns;
    if (received >= (int)r->plane->batch || left_ns <= 0) return;
    if (received) nap(left_ns < nap_ns ? left_ns : nap_ns);
    else r->io->wait(r->io->context, left_ns);
}

void fm_road_run(struct fm_road *r, int64_t until_ns) {
    struct fm_plane *p = r->plane;
    uint32_t wake = p->command->wake;
    for (;;) {
        int64_t now = fm_clock_ns();
        if (now >= until_ns || p->command->wake != wake) return;
        if (fm_inbox_waiting(p) && now + p->tick_ns < until_ns) until_ns = now + p->tick_ns;
        if (is_full(p, until_ns - now)) continue;
        int n = fm_road_receive(r, now);
        if (fm_inbox_waiting(p) && now + p->tick_ns < until_ns) until_ns = now + p->tick_ns;
        pause_after(r, n, until_ns - fm_clock_ns());
    }
}

static void *work(void *of) {
    struct fm_road *r = of;
    struct fm_plane *p = r->plane;
    __atomic_store_n(&r->thread_id, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    while (!__atomic_load_n(&p->stop, __ATOMIC_RELAXED)) {
        if (is_full(p, WAIT_NS)) {
            __atomic_store_n(&r->view, __atomic_load_n(&p->view, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
            continue;
        }
        pause_after(r, fm_road_receive(r, fm_clock_ns()), WAIT_NS);
    }
    return NULL;
}

static int start_one(struct fm_road *r, uint32_t number) {
    char name[16];
    int error = pthread_create(&r->thread, NULL, work, r);
    if (error) return error;
    snprintf(name, sizeof name, "worker %u", number % 1000);
    pthread_setname_np(r->thread, name);
    while (!__atomic_load_n(&r->thread_id, __ATOMIC_ACQUIRE)) nap(10000);
    return 0;
}

/* Signals are the first thread's, for it is Python's. */
int fm_plane_start(struct fm_plane *p) {
    sigset_t all, before;
    int error = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    p->stop = 0;
    for (uint32_t i = 1; i < p->road_count && !error; i++) error = start_one(&p->roads[i], i);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) fm_plane_stop(p);
    return error;
}

void fm_plane_stop(struct fm_plane *p) {
    __atomic_store_n(&p->stop, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 1; i < p->road_count; i++) {
        if (!p->roads[i].thread_id) continue;
        pthread_join(p->roads[i].thread, NULL);
        p->roads[i].thread_id = 0;
    }
}
