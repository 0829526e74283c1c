/* Finding subjects, filling them, and the leaks that are planted to see that they are found. */
#include "subjects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "x25519.h"

static uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u; /* SplitMix64 (Steele, Lea, Flood 2014) */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

void source_fill(struct source *s, void *out, size_t size)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++) bytes[i] = s->is_random ? (uint8_t)random_next(&s->random) : 0;
}

void public_fill(void *out, size_t size)
{
    struct source s = {.is_random = 1, .random = size};
    source_fill(&s, out, size);
}

void require(int condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "%s\n", what);
    exit(2);
}

const struct subject *subject_at(size_t i)
{
    const struct subject *const all[] = {PRIMITIVES, PACKETS, PLANTED};
    for (size_t part = 0; part < sizeof all / sizeof *all; part++)
        for (const struct subject *s = all[part]; s->name; s++)
            if (i-- == 0) return s;
    return NULL;
}

static const struct fm_kernels *with_ladder(const struct fm_kernels *k, const char *name)
{
#if defined(__x86_64__)
    static struct fm_kernels kernels;
    kernels = *k;
    kernels.x25519 = name[0] == 'a' ? fm_x25519_avx512ifma_a : fm_x25519_avx512ifma_b;
    return &kernels;
#else
    return NULL;
#endif
}

const struct fm_kernels *kernels_find(const char *isa)
{
    static const char chooses[] = "avx512ifma";
    const struct fm_kernels *tables[FM_ISA_COUNT];
    for (size_t i = fm_kernels_supported(tables); i-- > 0;) {
        if (strcmp(tables[i]->isa, isa) == 0) return tables[i];
        if (strcmp(tables[i]->isa, chooses) == 0 && strncmp(isa, chooses, sizeof chooses - 1) == 0)
            return with_ladder(tables[i], isa + sizeof chooses); /* behind the underscore */
    }
    return NULL;
}

struct planted {
    size_t n;
    uint8_t secret[32], expected[32];
    uint64_t result;
};

static void planted_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    struct planted *p = state;
    source_fill(secrets, p->secret, sizeof p->secret);
    memset(p->expected, 0, sizeof p->expected);
}

/* So that the result depends on the secret as memcheck counts it, too: it does not follow branches. */
static void planted_end(struct planted *p, uint64_t result)
{
    p->result = result ^ p->secret[0];
}

/* Multiplies only for the bits that are set, as the square-and-multiply of textbooks does; behind an X25519, a hundred times as
 * long, in whose noise it must be found. */
static void planted_branch(const struct fm_kernels *k, void *state)
{
    static const uint8_t base[32] = {9};
    struct planted *p = state;
    uint8_t *out = p->expected;
    const uint8_t *scalar = p->secret, *point = base;
    uint64_t x = 3;
    k->x25519(&out, &scalar, &point, 1);
    for (int bit = 0; bit < 256; bit++) {
        x *= x;
        if (p->secret[bit >> 3] >> (bit & 7) & 1) {
            x *= 5;
            __asm__ volatile("" : "+r"(x)); /* or there would be no branch */
        }
    }
    planted_end(p, x);
}

/* memcmp that ends at the first difference: what fm_equal is there to avoid. */
static void planted_compare(const struct fm_kernels *k, void *state)
{
    struct planted *p = state;
    size_t i = 0;
    while (i < sizeof p->secret && p->secret[i] == p->expected[i]) {
        __asm__ volatile("" : "+r"(i));
        i++;
    }
    planted_end(p, i);
}

/* A table of 256 lines of the cache, as S-boxes are, read at the secret's bytes; the lines are not in the cache. */
static void planted_index(const struct fm_kernels *k, void *state)
{
    static uint8_t table[256][64];
    struct planted *p = state;
    uint64_t sum = 0;
#if defined(__x86_64__)
    for (size_t i = 0; i < 256; i++) __builtin_ia32_clflush(table[i]);
#endif
    for (size_t i = 0; i < sizeof p->secret; i++) sum += table[p->secret[i]][0];
    planted_end(p, sum);
}

#define PLANT(leak) \
    {#leak, sizeof(struct planted), BYTES_OF(struct planted, secret), BYTES_OF(struct planted, result), planted_make, NULL, leak}

const struct subject PLANTED[] = {PLANT(planted_branch), PLANT(planted_compare), PLANT(planted_index), {NULL}};
