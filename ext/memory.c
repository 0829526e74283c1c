/* Wiping and comparing secrets. */
#include "fm_kernels.h"

#include "bytes.h"

void fm_wipe(void *secret, size_t size)
{
    memset(secret, 0, size);
    __asm__ __volatile__("" : : "r"(secret) : "memory"); /* the memory is "read" here, so the memset must happen */
}

/* Registers that a key has passed through end on some stack: the dynamic linker and the kernel save them all. */
static void clear_vectors(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        __asm__ __volatile__(".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n\t"
                             "vpxord %%zmm\\n, %%zmm\\n, %%zmm\\n\n\t.endr" ::: "memory");
    if (__builtin_cpu_supports("avx"))
        __asm__ __volatile__("vzeroall" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                             "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#endif
}

enum { BURN = 8192 }; /* the deepest frame that a portable kernel or an X25519 leaves is less */

void fm_burn_stack(void)
{
    uint8_t below[BURN];
    clear_vectors(); /* first: what the next call saves of them is then zeros */
    fm_wipe(below, sizeof below);
}

/* Constant time: reads all bytes, no branch on any of them. */
int fm_equal(const uint8_t *a, const uint8_t *b, size_t size)
{
    uint64_t difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= (uint64_t)(a[i] ^ b[i]);
    return (int)(1 & ((fm_opaque(difference) - 1) >> 8)); /* 0 - 1 has bit 8 set, 1..255 minus 1 has not */
}
