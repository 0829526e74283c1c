/* Core cycles without a performance counter: a chain of dependent multiplications takes a known number of them. */
#define _GNU_SOURCE
#include <time.h>

#include "fm_bench.h"

/* Both chains are over within 3 us: a core that slows down for 512-bit products is back at its usual clock 5 us after them. */
enum { CHAIN = 1600, CHAINS = 2, CLOCK_READS = 8 };

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

/* What reading the clock twice takes, which every chain's time contains. */
static uint64_t clock_ns(void)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < CLOCK_READS; i++) {
        const uint64_t began = fm_meter_wall_ns(), ns = fm_meter_wall_ns() - began;
        if (ns < best) best = ns;
    }
    return best;
}

double fm_meter_core_ghz(void)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < CHAINS; i++) {
        const uint64_t ns = chain_ns();
        if (ns < best) best = ns;
    }
    const uint64_t overhead = clock_ns();
    return (double)CHAIN * FM_METER_LATENCY / (double)(best > overhead ? best - overhead : 1);
}
