/* Loads and stores in little endian, and a barrier that hides a mask from the optimiser. Private to ext/. */
#ifndef FM_BYTES_H
#define FM_BYTES_H

#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FM_LE32(x) __builtin_bswap32(x)
#define FM_LE64(x) __builtin_bswap64(x)
#else
#define FM_LE32(x) (x)
#define FM_LE64(x) (x)
#endif

static inline uint32_t fm_load32(const uint8_t *in)
{
    uint32_t x;
    memcpy(&x, in, sizeof x);
    return FM_LE32(x);
}

static inline uint64_t fm_load64(const uint8_t *in)
{
    uint64_t x;
    memcpy(&x, in, sizeof x);
    return FM_LE64(x);
}

static inline uint16_t fm_load16(const uint8_t *in)
{
    return (uint16_t)(in[0] | in[1] << 8);
}

static inline void fm_store32(uint8_t *out, uint32_t x)
{
    x = FM_LE32(x);
    memcpy(out, &x, sizeof x);
}

static inline void fm_store64(uint8_t *out, uint64_t x)
{
    x = FM_LE64(x);
    memcpy(out, &x, sizeof x);
}

/* The same value, but the compiler cannot know that a mask holds only two values, so it cannot make a branch of it. */
static inline uint64_t fm_opaque(uint64_t x)
{
    __asm__("" : "+r"(x));
    return x;
}

#endif
