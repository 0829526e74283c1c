/* Times one subject with fixed (zero) and with random secrets in random turns, for a t-test (dudect: Reparaz, Balasch and
 * Verbauwhede 2017). `timed ISA SUBJECT LANES MILLISECONDS SEED` writes one u64 a measurement: cycles << 1 | random. `timed list`
 * prints all names.
 *
 * Both classes take the same road up to the clock: a state of each is read and mixed by mask, so neither caches nor branch
 * predictors know which one it will be. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "declared.h"
#include "subjects.h"

enum { VARIANTS = 16, MEASUREMENTS_MAX = 1 << 17, MEASUREMENTS_MIN = 200, CLASSES = 2 };

/* Delays are not constant time: here they take none. */
void __wrap_fm_delay_batch(const struct fm_kernels *k, double *delay, const uint8_t *const *seed, size_t n)
{
    for (size_t i = 0; i < n; i++) delay[i] = 0;
}

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t clock_cycles(void)
{
#if defined(__x86_64__)
    uint32_t low, high;
    __asm__ volatile("mfence\n\tlfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
#else
    return clock_ns();
#endif
}

struct pool { /* state[class][variant] */
    size_t size; /* in words */
    uint64_t *state[CLASSES][VARIANTS], *work;
};

static uint64_t *state_new(size_t words)
{
    uint64_t *state = aligned_alloc(64, (words * 8 + 63) / 64 * 64);
    require(state != NULL, "no memory");
    memset(state, 0, (words * 8 + 63) / 64 * 64);
    return state;
}

static void pool_make(struct pool *p, const struct fm_kernels *k, const struct subject *subject, size_t n, uint64_t seed)
{
    p->size = (subject->size + 7) / 8;
    p->work = state_new(p->size);
    for (int variant = 0; variant < VARIANTS; variant++) {
        for (int is_random = 0; is_random < CLASSES; is_random++) {
            struct source secrets = {.is_random = is_random, .random = seed << 32 | (uint64_t)variant};
            uint64_t *state = p->state[is_random][variant] = state_new(p->size);
            subject->make(k, state, &secrets);
            memcpy(state, &n, sizeof n);
        }
    }
}

static void pool_choose(const struct pool *p, uint64_t is_random, uint64_t variant)
{
    uint64_t mask = 0 - is_random;
    const uint64_t *fixed = p->state[0][variant], *random = p->state[1][variant];
    __asm__ volatile("" : "+r"(mask)); /* or there might be a branch */
    for (size_t i = 0; i < p->size; i++) p->work[i] = (random[i] & mask) | (fixed[i] & ~mask);
}

static size_t measure(uint64_t *found, const struct pool *p, const struct fm_kernels *k, const struct subject *subject,
                      uint64_t milliseconds, struct source *turns)
{
    const uint64_t end = clock_ns() + milliseconds * 1000000u;
    size_t n = 0;
    while (n < MEASUREMENTS_MAX && (n < MEASUREMENTS_MIN || clock_ns() < end)) {
        uint8_t turn;
        source_fill(turns, &turn, 1);
        const uint64_t is_random = turn & 1;
        pool_choose(p, is_random, turn / 2 % VARIANTS);
        if (subject->before) subject->before(k, p->work);
        const uint64_t began = clock_cycles();
        subject->run(k, p->work);
        found[n++] = (clock_cycles() - began) << 1 | is_random;
    }
    return n;
}

static const struct subject *subject_find(const char *name)
{
    const struct subject *found;
    for (size_t i = 0; (found = subject_at(i)) && strcmp(found->name, name); i++) continue;
    return found;
}

static int list(void)
{
    const struct subject *subject;
    for (size_t i = 0; (subject = subject_at(i)); i++) puts(subject->name);
    return 0;
}

int main(int n_words, char **words)
{
    static uint64_t found[MEASUREMENTS_MAX];
    struct pool pool;
    if (n_words == 2 && strcmp(words[1], "list") == 0) return list();
    require(n_words == 6, "usage: timed ISA SUBJECT LANES MILLISECONDS SEED");
    const struct fm_kernels *k = kernels_find(words[1]);
    const struct subject *subject = subject_find(words[2]);
    const size_t n_lanes = strtoul(words[3], NULL, 10);
    struct source turns = {.is_random = 1, .random = strtoul(words[5], NULL, 10)};
    require(k && subject && n_lanes && n_lanes <= LANES_MAX, "no such instruction set, subject or number of lanes");

    pool_make(&pool, k, subject, n_lanes, turns.random);
    measure(found, &pool, k, subject, 0, &turns); /* warms up; measured again below */
    const size_t n = measure(found, &pool, k, subject, strtoul(words[4], NULL, 10), &turns);
    return fwrite(found, sizeof *found, n, stdout) != n;
}
