/* Replies: one made of a SURB by its holder, and one opened by the SURB's maker. A hop decrypts, and so does the reply's sender;
 * the maker encrypts in reverse order. */
#include <string.h>

#include "fm_build.h"

enum { LANES = FM_BATCH_MAX };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void build_chunk(const struct fm_kernels *k, const uint8_t *data, const uint8_t *surbs, uint8_t *out, size_t stride,
                        size_t payload_size, struct fm_build_scratch *s, size_t n)
{
    uint8_t *payload[LANES], *made[LANES];
    const uint8_t *secret[LANES], *key[LANES];
    size_t data_size = payload_size - FM_PAYLOAD_TAG_SIZE;
    for (size_t r = 0; r < n; r++) {
        const uint8_t *surb = surbs + r * FM_SURB_SIZE;
        memcpy(out + r * stride, surb + FM_SURB_HEADER_AT, FM_HEADER_SIZE);
        payload[r] = out + r * stride + FM_HEADER_SIZE;
        memcpy(payload[r], data + r * data_size, data_size);
        memset(payload[r] + data_size, 0, FM_PAYLOAD_TAG_SIZE);
        secret[r] = surb + FM_SURB_SECRET_AT;
        key[r] = made[r] = s->payload_key[r];
    }
    fm_payload_keys(k, made, secret, n);
    fm_lioness_decrypt(k, payload, key, payload_size, n);
}

void fm_build_replies(const struct fm_kernels *k, const uint8_t *data, const uint8_t *surbs, uint8_t *out, size_t stride,
                      size_t payload_size, struct fm_build_scratch *s, size_t n)
{
    for (size_t first = 0; first < n; first += LANES)
        build_chunk(k, data + first * (payload_size - FM_PAYLOAD_TAG_SIZE), surbs + first * FM_SURB_SIZE, out + first * stride,
                    stride, payload_size, s, smaller(n - first, LANES));
    fm_wipe(s->payload_key, smaller(n, LANES) * sizeof s->payload_key[0]);
}

/* 1 if the tag is zero; the row is masked by the answer. */
static uint8_t judge(uint8_t *payload, size_t payload_size)
{
    static const uint8_t zeros[FM_PAYLOAD_TAG_SIZE];
    uint8_t ok = (uint8_t)fm_equal(payload + payload_size - FM_PAYLOAD_TAG_SIZE, zeros, FM_PAYLOAD_TAG_SIZE);
    for (size_t i = 0; i < payload_size; i++) payload[i] &= (uint8_t)-ok;
    return ok;
}

void fm_open_replies(const struct fm_kernels *k, uint8_t *payloads, const uint8_t *keys, size_t hops, uint8_t *ok,
                     size_t payload_size, size_t n)
{
    uint8_t *payload[LANES];
    const uint8_t *key[LANES];
    for (size_t first = 0; first < n; first += LANES) {
        size_t rows = smaller(n - first, LANES);
        for (size_t r = 0; r < rows; r++) payload[r] = payloads + (first + r) * payload_size;
        for (size_t hop = hops; hop-- > 0;) {
            for (size_t r = 0; r < rows; r++) key[r] = keys + ((first + r) * hops + hop) * FM_PAYLOAD_KEY_SIZE;
            fm_lioness_encrypt(k, payload, key, payload_size, rows);
        }
        for (size_t r = 0; r < rows; r++) ok[first + r] = judge(payload[r], payload_size);
    }
}
