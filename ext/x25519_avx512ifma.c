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

enum { LANES = 8, GROUPS = 32 };

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

/* The order of lanes that the first half of both transpositions shares. */
#define EVEN_PAIRS _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13)
#define ODD_PAIRS _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15)

INLINE __m512i load_two(const uint8_t *low, const uint8_t *high)
{
    const __m512i half = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)low));
    return _mm512_inserti64x4(half, _mm256_loadu_si256((const __m256i *)high), 1);
}

/* Eight rows of 32 bytes to four words of eight lanes. */
INLINE void load_words(__m512i word[4], const uint8_t *const row[LANES])
{
    const __m512i a = load_two(row[0], row[4]), b = load_two(row[1], row[5]);
    const __m512i c = load_two(row[2], row[6]), d = load_two(row[3], row[7]);
    const __m512i ab0 = _mm512_unpacklo_epi64(a, b), ab1 = _mm512_unpackhi_epi64(a, b);
    const __m512i cd0 = _mm512_unpacklo_epi64(c, d), cd1 = _mm512_unpackhi_epi64(c, d);
    word[0] = _mm512_permutex2var_epi64(ab0, EVEN_PAIRS, cd0);
    word[1] = _mm512_permutex2var_epi64(ab1, EVEN_PAIRS, cd1);
    word[2] = _mm512_permutex2var_epi64(ab0, ODD_PAIRS, cd0);
    word[3] = _mm512_permutex2var_epi64(ab1, ODD_PAIRS, cd1);
}

INLINE void store_two(uint8_t *low, uint8_t *high, __m512i x)
{
    _mm256_storeu_si256((__m256i *)low, _mm512_castsi512_si256(x));
    _mm256_storeu_si256((__m256i *)high, _mm512_extracti64x4_epi64(x, 1));
}

INLINE void store_words(uint8_t *const row[LANES], const __m512i word[4])
{
    const __m512i ab0 = _mm512_permutex2var_epi64(word[0], EVEN_PAIRS, word[2]);
    const __m512i ab1 = _mm512_permutex2var_epi64(word[1], EVEN_PAIRS, word[3]);
    const __m512i cd0 = _mm512_permutex2var_epi64(word[0], ODD_PAIRS, word[2]);
    const __m512i cd1 = _mm512_permutex2var_epi64(word[1], ODD_PAIRS, word[3]);
    store_two(row[0], row[4], _mm512_unpacklo_epi64(ab0, ab1));
    store_two(row[1], row[5], _mm512_unpackhi_epi64(ab0, ab1));
    store_two(row[2], row[6], _mm512_unpacklo_epi64(cd0, cd1));
    store_two(row[3], row[7], _mm512_unpackhi_epi64(cd0, cd1));
}

#define JOIN(low, right, high, left) _mm512_or_si512(_mm512_srli_epi64(low, right), _mm512_slli_epi64(high, left))

/* Limbs of the low 255 bits. */
INLINE fe fe_from_words(const __m512i w[4])
{
    return (fe){_mm512_and_si512(w[0], MASK52), _mm512_and_si512(JOIN(w[0], 52, w[1], 12), MASK52),
                _mm512_and_si512(JOIN(w[1], 40, w[2], 24), MASK52), _mm512_and_si512(JOIN(w[2], 28, w[3], 36), MASK52),
                _mm512_and_si512(_mm512_srli_epi64(w[3], 16), MASK47)};
}

/* Adds to limb 0, hands on all overflow and drops 2^255 and above. */
INLINE fe fe_ripple(fe a, __m512i more)
{
    a.v0 = _mm512_add_epi64(a.v0, more);
    CARRY(a.v0, a.v1), CARRY(a.v1, a.v2), CARRY(a.v2, a.v3), CARRY(a.v3, a.v4);
    return (fe){_mm512_and_si512(a.v0, MASK52), _mm512_and_si512(a.v1, MASK52), _mm512_and_si512(a.v2, MASK52),
                _mm512_and_si512(a.v3, MASK52), a.v4};
}

INLINE __m512i times19(__m512i x)
{
    return _mm512_madd52lo_epu64(ZERO, x, ALL(19));
}

/* Loose to the one number below p. */
INLINE fe fe_canonical(fe a)
{
    for (int pass = 0; pass < 2; pass++) { /* the first leaves less than 2^255 + 2^226 */
        const __m512i above = times19(_mm512_srli_epi64(a.v4, 47));
        a.v4 = _mm512_and_si512(a.v4, MASK47);
        a = fe_ripple(a, above);
    }
    /* a + 19 reaches 2^255 exactly where a >= p */
    const __m512i reaches = _mm512_srli_epi64(fe_ripple(a, ALL(19)).v4, 47);
    a = fe_ripple(a, times19(reaches));
    a.v4 = _mm512_and_si512(a.v4, MASK47);
    return a;
}

INLINE void fe_to_words(__m512i w[4], fe a)
{
    w[0] = _mm512_or_si512(a.v0, _mm512_slli_epi64(a.v1, 52));
    w[1] = JOIN(a.v1, 12, a.v2, 40);
    w[2] = JOIN(a.v2, 24, a.v3, 28);
    w[3] = JOIN(a.v3, 36, a.v4, 16);
}

INLINE __mmask8 fe_is_zero(fe a)
{
    a = fe_canonical(a);
    const __m512i any = _mm512_or_si512(_mm512_or_si512(a.v0, a.v1), _mm512_or_si512(_mm512_or_si512(a.v2, a.v3), a.v4));
    return _mm512_testn_epi64_mask(any, any);
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
