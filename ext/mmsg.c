/* UDP in batches. Linux only: recvmmsg, sendmmsg. */
#include "datagrams.h"
#include "fm_mmsg.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

struct fm_mmsg {
    int fd;
    uint32_t row_size, batch;
    uint8_t *ring; /* batch rows */
    struct fm_address from[FM_BATCH_MAX];
    struct mmsghdr headers[FM_BATCH_MAX]; /* made once; in a call only what changes is set */
    struct iovec vectors[FM_BATCH_MAX];
    struct fm_sender sender;
};

_Static_assert(sizeof(struct sockaddr_in6) == sizeof ((struct fm_address *)0)->bytes, "fm_address holds a sockaddr_in6");

int fm_mmsg_probe(void)
{
    return recvmmsg(-1, NULL, 0, MSG_DONTWAIT, NULL) == 0 || errno != ENOSYS;
}

static void make_headers(struct fm_mmsg *m)
{
    for (uint32_t i = 0; i < m->batch; i++) {
        m->vectors[i] = (struct iovec){.iov_base = m->ring + (size_t)i * m->row_size, .iov_len = m->row_size};
        m->headers[i].msg_hdr = (struct msghdr){.msg_name = m->from[i].bytes, .msg_iov = &m->vectors[i], .msg_iovlen = 1};
    }
}

struct fm_mmsg *fm_mmsg_new(int fd, uint32_t row_size, uint32_t batch)
{
    int off = 0;
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
    fm_sender_init(&m->sender, fd, 1);
    (void)setsockopt(fd, SOL_UDP, FM_UDP_GRO, &off, sizeof off); /* a train would not fit a row */
    return m;
}

void fm_mmsg_free(struct fm_mmsg *m)
{
    if (!m) return;
    free(m->ring);
    free(m);
}

static int mmsg_recv(void *context, struct fm_received *rows, uint32_t n)
{
    struct fm_mmsg *m = context;
    if (n > m->batch) n = m->batch;
    for (uint32_t i = 0; i < n; i++) m->headers[i].msg_hdr.msg_namelen = sizeof m->from[i].bytes;
    int got = n ? fm_receive_once(m->fd, m->headers, n, MSG_TRUNC) : 0;
    for (int i = 0; i < got; i++) {
        m->from[i].size = m->headers[i].msg_hdr.msg_namelen;
        rows[i] = (struct fm_received){.data = m->vectors[i].iov_base, .size = m->headers[i].msg_len, .from = &m->from[i]};
    }
    return got;
}

static int mmsg_wait(void *context, int64_t wait_ns)
{
    const struct fm_mmsg *m = context;
    fm_poll(m->fd, POLLIN, wait_ns < 0 ? 0 : wait_ns);
    return 0;
}

static int mmsg_send(void *context, struct fm_outgoing *rows, uint32_t n)
{
    struct fm_mmsg *m = context;
    return fm_sender_send(&m->sender, rows, n, m->batch);
}

void fm_mmsg_io(struct fm_mmsg *m, struct fm_io *out)
{
    *out = (struct fm_io){.context = m, .recv = mmsg_recv, .wait = mmsg_wait, .send = mmsg_send};
}
