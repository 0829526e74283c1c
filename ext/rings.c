/* Datagrams in memory: two rings, fixed at creation. */
#include "fm_rings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct datagram {
    struct fm_address address;
    uint32_t size; /* true length; of which at most row_size bytes are kept */
};

struct ring {
    struct datagram *datagrams;
    uint8_t *rows;
    uint32_t first, n;
};

struct fm_rings {
    uint32_t capacity, row_size;
    uint64_t dropped;
    struct ring received, sent;
};

static int ring_allocate(struct ring *r, uint32_t capacity, uint32_t row_size)
{
    r->datagrams = calloc(capacity, sizeof *r->datagrams);
    r->rows = calloc(capacity, row_size);
    return r->datagrams && r->rows;
}

struct fm_rings *fm_rings_new(uint32_t capacity, uint32_t row_size)
{
    struct fm_rings *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->capacity = capacity;
    r->row_size = row_size;
    if (ring_allocate(&r->received, capacity, row_size) && ring_allocate(&r->sent, capacity, row_size)) return r;
    fm_rings_free(r);
    return NULL;
}

void fm_rings_free(struct fm_rings *r)
{
    if (!r) return;
    free(r->received.datagrams);
    free(r->received.rows);
    free(r->sent.datagrams);
    free(r->sent.rows);
    free(r);
}

static uint32_t kept(const struct fm_rings *r, uint32_t size)
{
    return size < r->row_size ? size : r->row_size;
}

static int ring_put(const struct fm_rings *r, struct ring *ring, const uint8_t *data, uint32_t size,
                    const struct fm_address *address)
{
    if (ring->n == r->capacity) return 0;
    uint32_t at = (uint32_t)(((uint64_t)ring->first + ring->n++) % r->capacity);
    ring->datagrams[at] = (struct datagram){.address = *address, .size = size};
    if (size) memcpy(ring->rows + (size_t)at * r->row_size, data, kept(r, size));
    return 1;
}

/* The oldest datagram's place, taken off; the caller has looked at n. Its bytes stay until the ring comes round. */
static uint32_t ring_take(const struct fm_rings *r, struct ring *ring)
{
    uint32_t at = ring->first;
    ring->first = at + 1 == r->capacity ? 0 : at + 1;
    ring->n--;
    return at;
}

static int rings_recv(void *context, struct fm_received *rows, uint32_t n)
{
    struct fm_rings *r = context;
    uint32_t i;
    for (i = 0; i < n && r->received.n; i++) {
        uint32_t at = ring_take(r, &r->received);
        const struct datagram *d = &r->received.datagrams[at];
        rows[i] = (struct fm_received){.data = r->received.rows + (size_t)at * r->row_size, .size = d->size, .from = &d->address};
    }
    return (int)i;
}

static int rings_wait(void *context, int64_t wait_ns)
{
    (void)context;
    (void)wait_ns;
    return 0;
}

static int rings_send(void *context, struct fm_outgoing *rows, uint32_t n)
{
    struct fm_rings *r = context;
    int taken = 0;
    for (uint32_t i = 0; i < n; i++) {
        int put = ring_put(r, &r->sent, rows[i].data, rows[i].size, &rows[i].to);
        rows[i].result = put ? 0 : -ENOBUFS;
        taken += put;
    }
    return taken;
}

void fm_rings_io(struct fm_rings *r, struct fm_io *out)
{
    *out = (struct fm_io){.context = r, .recv = rings_recv, .wait = rings_wait, .send = rings_send};
}

int fm_rings_push(struct fm_rings *r, const uint8_t *data, uint32_t size, const struct fm_address *from)
{
    int put = ring_put(r, &r->received, data, size, from);
    r->dropped += !put;
    return put;
}

const uint8_t *fm_rings_pop(struct fm_rings *r, uint32_t *size, struct fm_address *to)
{
    if (!r->sent.n) return NULL;
    uint32_t at = ring_take(r, &r->sent);
    *size = kept(r, r->sent.datagrams[at].size);
    *to = r->sent.datagrams[at].address;
    return r->sent.rows + (size_t)at * r->row_size;
}

uint64_t fm_rings_dropped(const struct fm_rings *r)
{
    return r->dropped;
}
uint32_t fm_rings_waiting(const struct fm_rings *r)
{
    return r->received.n;
}
uint32_t fm_rings_sent(const struct fm_rings *r)
{
    return r->sent.n;
}
