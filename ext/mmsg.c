/* UDP in batches. Linux only: recvmmsg, sendmmsg. */
#define _GNU_SOURCE
#include "fm_mmsg.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "fm_geometry.h"

enum {
    SEND_RETRIES = 8,        /* waits for room, in one call of send */
    SEND_WAIT_NS = 1000000,  /* at most, for POLLOUT */
    QUEUE_WAIT_NS = 100000,  /* where the device's queue is full, which POLLOUT does not see */
    PENDING_ERRORS = 8       /* errors of earlier sends that recvmmsg reports, skipped in one call */
};

struct fm_mmsg {
    int fd;
    uint32_t row_size, batch;
    uint8_t *ring; /* batch rows */
    struct fm_address from[FM_BATCH_MAX];
    struct mmsghdr in[FM_BATCH_MAX], out[FM_BATCH_MAX]; /* made once; in a call only what changes is set */
    struct iovec in_vectors[FM_BATCH_MAX], out_vectors[FM_BATCH_MAX];
};

_Static_assert(sizeof(struct sockaddr_in6) == sizeof ((struct fm_address *)0)->bytes, "fm_address holds a sockaddr_in6");

static void make_headers(struct fm_mmsg *m)
{
    for (uint32_t i = 0; i < m->batch; i++) {
        m->in_vectors[i] = (struct iovec){.iov_base = m->ring + (size_t)i * m->row_size, .iov_len = m->row_size};
        m->in[i].msg_hdr = (struct msghdr){.msg_name = m->from[i].bytes, .msg_iov = &m->in_vectors[i], .msg_iovlen = 1};
        m->out[i].msg_hdr = (struct msghdr){.msg_iov = &m->out_vectors[i], .msg_iovlen = 1};
    }
}

struct fm_mmsg *fm_mmsg_new(int fd, uint32_t row_size, uint32_t batch)
{
    struct fm_mmsg *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->fd = fd;
    m->row_size = row_size;
    m->batch = batch < 1 ? 1 : batch > FM_BATCH_MAX ? FM_BATCH_MAX : batch;
    m->ring = calloc(m->batch, row_size);
    if (!m->ring) {
        free(m);
        return NULL;
    }
    make_headers(m);
    return m;
}

void fm_mmsg_free(struct fm_mmsg *m)
{
    if (!m) return;
    free(m->ring);
    free(m);
}

/* What an earlier send brought back (ICMP): not about receiving, and taken off the socket by being reported. */
static int is_pending_error(int error)
{
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH || error == EMSGSIZE || error == EINTR;
}

static int receive_once(struct fm_mmsg *m, uint32_t n)
{
    for (int i = 0; i < PENDING_ERRORS; i++) {
        int got = recvmmsg(m->fd, m->in, n, MSG_DONTWAIT | MSG_TRUNC, NULL);
        if (got >= 0) return got;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        if (!is_pending_error(errno)) return -errno;
    }
    return 0;
}

static int mmsg_recv(void *context, struct fm_received *rows, uint32_t n)
{
    struct fm_mmsg *m = context;
    if (n > m->batch) n = m->batch;
    for (uint32_t i = 0; i < n; i++) m->in[i].msg_hdr.msg_namelen = sizeof m->from[i].bytes;
    int got = n ? receive_once(m, n) : 0;
    for (int i = 0; i < got; i++) {
        m->from[i].size = m->in[i].msg_hdr.msg_namelen;
        rows[i] = (struct fm_received){.data = m->in_vectors[i].iov_base, .size = m->in[i].msg_len, .from = &m->from[i]};
    }
    return got;
}

static void poll_for(int fd, short events, int64_t wait_ns)
{
    struct pollfd p = {.fd = fd, .events = events};
    struct timespec t = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    (void)ppoll(&p, 1, &t, NULL);
}

static int mmsg_wait(void *context, int64_t wait_ns)
{
    const struct fm_mmsg *m = context;
    poll_for(m->fd, POLLIN, wait_ns < 0 ? 0 : wait_ns);
    return 0;
}

/* 1 if it is worth trying again: the kernel had no room, and this call has waits left. */
static int wait_for_room(const struct fm_mmsg *m, int error, int *retries)
{
    if ((error != EAGAIN && error != ENOBUFS) || *retries == 0) return 0;
    --*retries;
    poll_for(error == EAGAIN ? m->fd : -1, POLLOUT, error == EAGAIN ? SEND_WAIT_NS : QUEUE_WAIT_NS);
    return 1;
}

/* Sends rows 0..n-1, n <= batch. sendmmsg stops at the first datagram that fails and reports it only when it is the first. */
static int send_some(struct fm_mmsg *m, struct fm_outgoing *rows, uint32_t n, int *retries)
{
    int taken = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct fm_address *to = &rows[i].to;
        m->out_vectors[i] = (struct iovec){.iov_base = (void *)rows[i].data, .iov_len = rows[i].size};
        m->out[i].msg_hdr.msg_name = to->size ? to->bytes : NULL;
        m->out[i].msg_hdr.msg_namelen = to->size;
        rows[i].result = 0;
    }
    for (uint32_t i = 0; i < n;) {
        int sent = sendmmsg(m->fd, m->out + i, n - i, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            i += (uint32_t)sent;
            taken += sent;
        } else if (errno != EINTR && !wait_for_room(m, errno, retries)) {
            rows[i++].result = -errno;
        }
    }
    return taken;
}

static int mmsg_send(void *context, struct fm_outgoing *rows, uint32_t n)
{
    struct fm_mmsg *m = context;
    int retries = SEND_RETRIES, taken = 0;
    for (uint32_t i = 0; i < n; i += m->batch) taken += send_some(m, rows + i, n - i < m->batch ? n - i : m->batch, &retries);
    return taken;
}

void fm_mmsg_io(struct fm_mmsg *m, struct fm_io *out)
{
    *out = (struct fm_io){.context = m, .recv = mmsg_recv, .wait = mmsg_wait, .send = mmsg_send};
}
