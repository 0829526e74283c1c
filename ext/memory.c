/* Wiping and comparing secrets. */
#include "fm_kernels.h"

#include "bytes.h"

void fm_wipe(void *secret, size_t size)
{
    memset(secret, 0, size);
    __asm__ __volatile__("" : : "r"(secret) : "memory"); /* the memory is "read" here, so the memset must happen */
}

enum { BURN = 8192 }; /* the deepest frame that a portable kernel or an X25519 leaves is less */

void fm_burn_stack(void)
{
    uint8_t below[BURN];
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
