/* The functions through which the road meets the outside: sockets in the node (fastmix/udp), memory rings in tests. The backend
 * owns the receive ring: contiguous rows of row_size bytes (the frame size), given when it is made. recv and wait belong to one
 * thread, send to one thread, which may be another. */
#ifndef FM_IO_H
#define FM_IO_H

#include <stdint.h>

struct fm_address { /* a sockaddr_in or sockaddr_in6 as it is, and its size; size 0 = unknown */
    uint8_t bytes[28];
    uint32_t size;
};

/* A received datagram. Both pointers are set by recv, lead into the backend, and hold until the next recv. */
struct fm_received {
    const uint8_t *data; /* its first bytes: all of it, or row_size bytes of a longer one */
    uint32_t size;       /* its true length, even when longer than the row */
    const struct fm_address *from;
};
/* Receives up to n datagrams without waiting, in order; fewer than min(n, the backend's batch): no more were there. Returns how
 * many (0 = none), or -errno. */
typedef int (*fm_recv_fn)(void *context, struct fm_received *rows, uint32_t n);
/* Waits until something may be received, wait_ns have passed, or a signal came. Returns 0. */
typedef int (*fm_wait_fn)(void *context, int64_t wait_ns);
/* How many datagrams the backend has taken from the kernel that no recv has given yet. */
typedef uint32_t (*fm_kept_fn)(void *context);

struct fm_outgoing {
    const uint8_t *data;
    uint32_t size;
    int32_t result; /* out: 0 = the kernel took it, -errno = it did not (EAGAIN after the retries: -EAGAIN) */
    struct fm_address to;
};
/* Sends n datagrams in order, n <= FM_BATCH_MAX; every result is set. Returns how many were taken. */
typedef int (*fm_send_fn)(void *context, struct fm_outgoing *rows, uint32_t n);

/* What an endpoint object hands to the road, as one address. */
struct fm_io {
    void *context;
    fm_recv_fn recv;
    fm_wait_fn wait;
    fm_send_fn send;
    fm_kept_fn kept; /* NULL: it keeps none */
};

#endif
