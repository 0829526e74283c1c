/* Which instruction sets this CPU runs and its system saves: the builtin also asks XGETBV whether the wide registers survive a
 * context switch. On other machines than x86 there is the portable table only. */
#include "fm_kernels.h"

extern const struct fm_kernels fm_kernels_portable;

#if defined(__x86_64__)
extern const struct fm_kernels fm_kernels_avx2, fm_kernels_avx512f, fm_kernels_avx512ifma;

/* Level by level: each has what the one below has. setup.py compiles the files of a level with exactly these flags. */
static size_t levels(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
        return 1;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq"))
        return 2;
    return __builtin_cpu_supports("avx512ifma") ? 4 : 3;
}

size_t fm_kernels_supported(const struct fm_kernels *tables[FM_ISA_COUNT])
{
    static const struct fm_kernels *const all[FM_ISA_COUNT] = {
        &fm_kernels_portable, &fm_kernels_avx2, &fm_kernels_avx512f, &fm_kernels_avx512ifma,
    };
    const size_t n = levels();
    for (size_t i = 0; i < n; i++)
        tables[i] = all[i];
    return n;
}
#else
size_t fm_kernels_supported(const struct fm_kernels *tables[FM_ISA_COUNT])
{
    tables[0] = &fm_kernels_portable;
    return 1;
}
#endif
