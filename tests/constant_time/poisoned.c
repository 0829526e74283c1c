/* Runs all subjects under valgrind's memcheck with their secrets marked as undefined: memcheck then reports every branch and
 * every address that depends on them (Langley's ctgrind). `poisoned ISA` prints for each subject its name and how often memcheck
 * had something to report.
 *
 * What the design lets be seen is marked as defined where it comes into being: answers of fm_equal (verdicts), the code of the
 * decrypted routing action, the flag bytes and the counter of an opened frame, and the delay. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "declared.h"
#include "subjects.h"

int __wrap_fm_equal(const uint8_t *a, const uint8_t *b, size_t size)
{
    int answer = __real_fm_equal(a, b, size);
    VALGRIND_MAKE_MEM_DEFINED(&answer, sizeof answer);
    return answer;
}

void __wrap_fm_delay_batch(const struct fm_kernels *k, double *delay, const uint8_t *const *seed, size_t n)
{
    uint8_t seen[FM_BATCH_MAX][16];
    const uint8_t *pointer[FM_BATCH_MAX];
    for (size_t i = 0; i < n; i++) {
        memcpy(seen[i], seed[i], sizeof seen[i]);
        VALGRIND_MAKE_MEM_DEFINED(seen[i], sizeof seen[i]);
        pointer[i] = seen[i];
    }
    __real_fm_delay_batch(k, delay, pointer, n);
}

enum { LANES = 9 }; /* two vectors of AVX2 at a time, and one more */

static const struct fm_kernels *chosen;

/* Its calls are told apart by their sizes: counters of frames, contents of frames, routing actions. */
static void chacha20_declared(uint8_t *const *out, const uint8_t *const *in, const uint8_t *const *key,
                              const uint8_t *const *nonce, const uint32_t *counter, size_t size, size_t n)
{
    chosen->chacha20(out, in, key, nonce, counter, size, n);
    for (size_t i = 0; in && i < n; i++) {
        if (size == 8) VALGRIND_MAKE_MEM_DEFINED(out[i], size);
        if (size == 4 + FM_WAN_PACKET_SIZE) VALGRIND_MAKE_MEM_DEFINED(out[i] + 1, 3);
        if (size == FM_ACTIONS_SIZE + FM_ACTIONS_PAD_MAX) VALGRIND_MAKE_MEM_DEFINED(out[i], 2);
    }
}

/* 1 if any bit of the result is undefined: the poison has gone all the way. */
static int is_poisoned(const uint8_t *result, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t bits = 0;
        VALGRIND_GET_VBITS(result + i, &bits, 1);
        if (bits) return 1;
    }
    return 0;
}

/* The number of memcheck's reports of one subject; -1 if the poison got lost. */
static int reports(const struct fm_kernels *k, const struct subject *subject)
{
    struct source secrets = {.is_random = 1, .random = 1};
    const unsigned before = VALGRIND_COUNT_ERRORS;
    const size_t n = LANES;
    uint8_t *state = calloc(1, subject->size);
    require(state != NULL, "no memory");
    subject->make(k, state, &secrets);
    memcpy(state, &n, sizeof n);
    VALGRIND_MAKE_MEM_UNDEFINED(state + subject->secret_at, subject->secret_size);
    if (subject->before) subject->before(k, state);
    subject->run(k, state);
    const int kept = is_poisoned(state + subject->result_at, subject->result_size);
    free(state);
    return kept ? (int)(VALGRIND_COUNT_ERRORS - before) : -1;
}

int main(int n_words, char **words)
{
    require(n_words == 2 && RUNNING_ON_VALGRIND, "usage: valgrind poisoned ISA");
    const struct subject *subject;
    struct fm_kernels kernels;
    chosen = kernels_find(words[1]);
    require(chosen != NULL, "this CPU, or valgrind, has not that instruction set");
    kernels = *chosen;
    kernels.chacha20 = chacha20_declared;
    for (size_t i = 0; (subject = subject_at(i)); i++) {
        VALGRIND_PRINTF("%s:\n", subject->name);
        printf("%s %d\n", subject->name, reports(&kernels, subject));
    }
    return 0;
}
