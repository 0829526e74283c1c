/* Core cycles without a performance counter: a chain of dependent multiplications takes a known number of them. */
#define _GNU_SOURCE
#include <time.h>

#include "fm_bench.h"

enum { CHAIN = 8000, CHAINS = 5 };

static uint64_t read_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t fm_meter_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t fm_meter_wall_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

/* An add chain would not do: some cores fold additions of constants when they rename registers. */
static uint64_t chain_ns(void)
{
    const uint64_t began = fm_meter_wall_ns();
    uint64_t x = 3;
    for (int i = 0; i < CHAIN / 8; i++) {
        /* the empty statements keep the compiler from joining the products */
#define STEP x *= x; __asm__ volatile("" : "+r"(x));
        STEP STEP STEP STEP STEP STEP STEP STEP
#undef STEP
    }
    return fm_meter_wall_ns() - began;
}

double fm_meter_core_ghz(void)
{
    uint64_t best = chain_ns(); /* the first is cold, and counts only if it was the quickest */
    for (int i = 0; i < CHAINS; i++) {
        const uint64_t ns = chain_ns();
        if (ns < best) best = ns;
    }
    return (double)CHAIN * FM_METER_LATENCY / (double)(best ? best : 1);
}
