/* Sending in batches: sendmmsg, and where the kernel can, neighbouring rows of one destination as one train (UDP_SEGMENT): the
 * kernel walks its whole stack once for a train. The rows stay where they are; only their addresses are gathered. */
#include "datagrams.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

enum {
    SEND_RETRIES = 8,       /* waits for room, in one call of send */
    SEND_WAIT_NS = 1000000, /* at most, for POLLOUT */
    QUEUE_WAIT_NS = 100000, /* where the device's queue is full, which POLLOUT does not see */
    TRAIN_BYTES = 65507     /* the most that one IPv4 datagram holds, and so one train */
};
static const int64_t REFUSED_NS = 30000000000; /* a route may change */

void fm_sender_init(struct fm_sender *s, int fd, uint32_t max_segments)
{
    memset(s, 0, sizeof *s);
    s->fd = fd;
    s->max_segments = max_segments;
    s->refused_ns = REFUSED_NS;
    s->sendmmsg = sendmmsg;
    for (uint32_t i = 0; i < FM_BATCH_MAX; i++) {
        s->control[i].header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(uint16_t)), .cmsg_level = SOL_UDP, .cmsg_type = FM_UDP_SEGMENT};
    }
}

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int same_address(const struct fm_address *a, const struct fm_address *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static struct fm_refused *refused_entry(struct fm_sender *s, const struct fm_address *to)
{
    uint32_t hash = 2166136261; /* FNV-1a */
    for (uint32_t i = 0; i < to->size; i++) hash = (hash ^ to->bytes[i]) * 16777619;
    return &s->refused[(hash >> 16 ^ hash) % FM_REFUSED_MAX];
}

/* A destination that takes an other's place in the table costs that one a refused train now and then. */
static void remember(struct fm_sender *s, const struct fm_address *to)
{
    s->refused_until_ns = clock_ns() + s->refused_ns;
    *refused_entry(s, to) = (struct fm_refused){.to = *to, .until_ns = s->refused_until_ns};
}

static int takes_trains(struct fm_sender *s, const struct fm_address *to, int64_t now_ns)
{
    const struct fm_refused *entry = refused_entry(s, to);
    return entry->until_ns <= now_ns || !same_address(&entry->to, to);
}

/* How many of the n rows leave as one datagram or train. */
static uint32_t train_length(struct fm_sender *s, const struct fm_outgoing *rows, uint32_t n, int64_t now_ns)
{
    uint32_t most = rows->size ? TRAIN_BYTES / rows->size : 1, length = 1;
    if (most > s->max_segments) most = s->max_segments;
    if (most > n) most = n;
    while (length < most && rows[length].size == rows->size && same_address(&rows[length].to, &rows->to)) length++;
    return length > 1 && now_ns && !takes_trains(s, &rows->to, now_ns) ? 1 : length;
}

static void set_header(struct fm_sender *s, uint32_t message, struct fm_outgoing *rows, uint32_t first, uint32_t length)
{
    struct fm_address *to = &rows[first].to;
    struct msghdr *h = &s->headers[message].msg_hdr;
    uint16_t size = (uint16_t)rows[first].size;
    *h = (struct msghdr){.msg_name = to->size ? to->bytes : NULL, .msg_namelen = to->size};
    h->msg_iov = &s->vectors[first];
    h->msg_iovlen = length;
    for (uint32_t i = first; i < first + length; i++) {
        s->vectors[i] = (struct iovec){.iov_base = (void *)rows[i].data, .iov_len = rows[i].size};
        rows[i].result = 0;
    }
    if (length == 1) return;
    memcpy(CMSG_DATA(&s->control[message].header), &size, sizeof size);
    h->msg_control = s->control[message].bytes;
    h->msg_controllen = CMSG_SPACE(sizeof size);
}

/* Returns how many messages the n rows make. */
static uint32_t make_messages(struct fm_sender *s, struct fm_outgoing *rows, uint32_t n)
{
    int64_t now_ns = s->refused_until_ns ? clock_ns() : 0;
    uint32_t messages = 0;
    if (now_ns > s->refused_until_ns) now_ns = s->refused_until_ns = 0;
    for (uint32_t i = 0; i < n; messages++) {
        uint32_t length = train_length(s, rows + i, n - i, now_ns);
        set_header(s, messages, rows, i, length);
        i += length;
    }
    return messages;
}

/* 1 if it is worth trying again: the kernel had no room, and this call has waits left. */
static int wait_for_room(const struct fm_sender *s, int error, int *retries)
{
    if (error == EINTR) return 1;
    if ((error != EAGAIN && error != ENOBUFS) || *retries == 0) return 0;
    --*retries;
    fm_poll(error == EAGAIN ? s->fd : -1, POLLOUT, error == EAGAIN ? SEND_WAIT_NS : QUEUE_WAIT_NS);
    return 1;
}

/* One row by itself. Returns 1 if the kernel took it. */
static int send_alone(struct fm_sender *s, struct fm_outgoing *row, int *retries)
{
    struct iovec vector = {.iov_base = (void *)row->data, .iov_len = row->size};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
    m.msg_hdr.msg_name = row->to.size ? row->to.bytes : NULL;
    m.msg_hdr.msg_namelen = row->to.size;
    do {
        if (s->sendmmsg(s->fd, &m, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) return 1;
    } while (wait_for_room(s, errno, retries));
    row->result = -errno;
    return 0;
}

/* The kernel did not take a message of length rows: none of them has left. The rows of a train are tried one by one, unless
 * there is no room: then there is none for them either. Returns how many were taken. */
static int refuse(struct fm_sender *s, struct fm_outgoing *rows, uint32_t length, int error, int *retries)
{
    int taken = 0;
    if (length > 1 && (error == EMSGSIZE || error == EINVAL || error == EIO)) remember(s, &rows->to);
    for (uint32_t i = 0; i < length; i++) {
        if (length > 1 && error != EAGAIN) taken += send_alone(s, &rows[i], retries);
        else rows[i].result = -error;
    }
    return taken;
}

/* sendmmsg stops at the first message that fails and reports it only when it is the first. */
static int send_some(struct fm_sender *s, struct fm_outgoing *rows, uint32_t n, int *retries)
{
    uint32_t messages = make_messages(s, rows, n), row = 0;
    int taken = 0;
    for (uint32_t m = 0; m < messages;) {
        int sent = s->sendmmsg(s->fd, s->headers + m, messages - m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent <= 0 && wait_for_room(s, errno, retries)) continue;
        if (sent <= 0) {
            uint32_t length = (uint32_t)s->headers[m++].msg_hdr.msg_iovlen;
            taken += refuse(s, rows + row, length, errno, retries);
            row += length;
        }
        for (int i = 0; i < sent; i++, m++) {
            row += (uint32_t)s->headers[m].msg_hdr.msg_iovlen;
            taken += (int)s->headers[m].msg_hdr.msg_iovlen;
        }
    }
    return taken;
}

int fm_sender_send(struct fm_sender *s, struct fm_outgoing *rows, uint32_t n, uint32_t batch)
{
    int retries = SEND_RETRIES, taken = 0;
    for (uint32_t i = 0; i < n; i += batch) taken += send_some(s, rows + i, n - i < batch ? n - i : batch, &retries);
    return taken;
}
