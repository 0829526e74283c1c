/* X25519 (RFC 7748) of many lanes, eight to a vector, in AVX-512 IFMA: loads, ladders, one inversion for all lanes, stores.
 *
 * Constant time: the same instructions for all scalars, points and results; whatever a lane holds leaves its neighbours alone.
 * There are two ladders, and which is faster depends on the processor: it is measured once. */
#define _POSIX_C_SOURCE 200809L
#include "x25519_avx512ifma.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "fm_kernels.h"
#include "x25519.h"
#include "x25519_words_avx512ifma.h"

enum { GROUPS = 32 };

/* Runs the ladders of all groups. */
typedef void ladders(struct group *g, size_t groups);

static void ladders_a(struct group *g, size_t groups)
{
    for (; groups > 1; groups -= 2, g += 2) fm_x25519_ladder_a2(g);
    if (groups) fm_x25519_ladder_a1(g);
}

static void ladders_b(struct group *g, size_t groups)
{
    for (; groups > 1; groups -= 2, g += 2) fm_x25519_ladder_b2(g);
    if (groups) fm_x25519_ladder_a1(g);
}

/* Loose. */
INLINE fe fe_mul(fe a, fe b)
{
    return fold_a(wide_mul(a, b, 0));
}

/* Tight. */
INLINE fe fe_mul_tight(fe a, fe b)
{
    return fe_carry(fe_mul(a, b));
}

/* Bit t of the result: whether bits t and t + 1 of the clamped scalar differ. */
static void load_scalars(__m512i swap[4], const uint8_t *const scalar[LANES])
{
    __m512i k[4];
    load_words(k, scalar);
    k[0] = _mm512_and_si512(k[0], ALL(~(uint64_t)7));
    k[3] = _mm512_or_si512(_mm512_and_si512(k[3], ALL(~(uint64_t)0 >> 1)), ALL((uint64_t)1 << 62));
    for (int i = 0; i < 3; i++) swap[i] = _mm512_xor_si512(k[i], JOIN(k[i], 1, k[i + 1], 63));
    swap[3] = _mm512_xor_si512(k[3], _mm512_srli_epi64(k[3], 1));
}

static void load_group(struct group *g, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    static const uint8_t ONE[32] = {1};
    const uint8_t *k[LANES], *u[LANES]; /* lanes behind the last take 1 times 1 */
    __m512i word[4];
    for (size_t i = 0; i < LANES; i++) {
        k[i] = i < n ? scalar[i] : ONE;
        u[i] = i < n ? point[i] : ONE;
    }
    load_scalars(g->swap, k);
    load_words(word, u);
    g->u = fe_from_words(word);
}

static void store_group(uint8_t *const *out, fe x, size_t n)
{
    uint8_t spare[32], *row[LANES];
    __m512i word[4];
    for (size_t i = 0; i < LANES; i++) row[i] = i < n ? out[i] : spare;
    fe_to_words(word, fe_canonical(x));
    store_words(row, word);
}

/* The other lane of each pair: lanes whose numbers differ by 1, 2 or 4. */
#define EXCHANGED(a, f) ((fe){f(a.v0), f(a.v1), f(a.v2), f(a.v3), f(a.v4)})
#define BY_1(x) _mm512_permutex_epi64(x, 0xb1)
#define BY_2(x) _mm512_permutex_epi64(x, 0x4e)
#define BY_4(x) _mm512_shuffle_i64x2(x, x, 0x4e)

/* 1 / a, tight: one inversion of the product of all lanes, in scalar code, where a vector would only wait for itself. */
static fe fe_invert(fe a)
{
    uint8_t bytes[32];
    __m512i word[4];
    const fe of2 = fe_mul_tight(a, EXCHANGED(a, BY_4));
    const fe of4 = fe_mul_tight(of2, EXCHANGED(of2, BY_2));
    fe_to_words(word, fe_canonical(fe_mul(of4, EXCHANGED(of4, BY_1))));
    for (int i = 0; i < 4; i++) fm_store64(bytes + 8 * i, (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(word[i])));
    fm_x25519_invert(bytes, bytes);
    for (int i = 0; i < 4; i++) word[i] = ALL(fm_load64(bytes + 8 * i));
    fm_wipe(bytes, sizeof bytes);
    const fe inverse4 = fe_mul_tight(fe_from_words(word), EXCHANGED(of4, BY_1));
    const fe inverse2 = fe_mul_tight(inverse4, EXCHANGED(of2, BY_2));
    return fe_mul_tight(inverse2, EXCHANGED(a, BY_4));
}

/* x / z of all groups to out. Where z is 0, it takes part as 1 and the result is 0. */
static void finish(struct group *g, size_t groups, uint8_t *const *out, size_t n)
{
    __mmask8 zero[GROUPS];
    fe product = fe_small(1);
    for (size_t i = 0; i < groups; i++) {
        zero[i] = fe_is_zero(g[i].z);
        g[i].z = fe_blend(zero[i], fe_carry(g[i].z), fe_small(1));
        g[i].u = product; /* the point is not needed any more */
        product = fe_mul_tight(product, g[i].z);
    }
    fe inverse = fe_invert(product);
    for (size_t i = groups; i-- > 0;) {
        const fe x = fe_mul(fe_carry(g[i].x), fe_mul_tight(inverse, g[i].u));
        const size_t first = i * LANES;
        inverse = fe_mul_tight(inverse, g[i].z);
        store_group(out + first, fe_blend(zero[i], x, fe_small(0)), n - first);
    }
}

static void x25519_chunk(ladders *run, uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    struct group g[GROUPS];
    const size_t groups = (n + LANES - 1) / LANES;
    for (size_t i = 0; i < groups; i++) load_group(&g[i], scalar + i * LANES, point + i * LANES, n - i * LANES);
    run(g, groups);
    finish(g, groups, out, n);
    fm_wipe(g, groups * sizeof g[0]);
    fm_burn_stack(); /* what the ladder and the inversion spilled */
}

static void x25519(ladders *run, uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    enum { CHUNK = LANES * GROUPS };
    for (size_t first = 0; first < n; first += CHUNK)
        x25519_chunk(run, out + first, scalar + first, point + first, n - first < CHUNK ? n - first : CHUNK);
}

void fm_x25519_avx512ifma_a(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    x25519(ladders_a, out, scalar, point, n);
}

void fm_x25519_avx512ifma_b(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    x25519(ladders_b, out, scalar, point, n);
}

static int64_t ladders_ns(ladders *run)
{
    struct group g[2];
    struct timespec start, end;
    memset(g, 0x55, sizeof g);
    clock_gettime(CLOCK_MONOTONIC, &start);
    run(g, 2);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec;
}

/* The faster ladder by the quietest of several runs in turns, in about 2 ms. */
static ladders *faster_ladders(void)
{
    int64_t a = INT64_MAX, b = INT64_MAX;
    for (int i = 0; i < 8; i++) {
        const int64_t now_a = ladders_ns(ladders_a), now_b = ladders_ns(ladders_b);
        a = now_a < a ? now_a : a;
        b = now_b < b ? now_b : b;
    }
    return b < a ? ladders_b : ladders_a;
}

/* Measures at its first call, which is the self-test at import; two threads that do so at once may only measure twice. */
void fm_x25519_avx512ifma(uint8_t *const *out, const uint8_t *const *scalar, const uint8_t *const *point, size_t n)
{
    static _Atomic(ladders *) chosen;
    ladders *run = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (!run) {
        run = faster_ladders();
        atomic_store_explicit(&chosen, run, memory_order_relaxed);
    }
    x25519(run, out, scalar, point, n);
}
