/* The load generator and its sink. One thread: send what is due, take what has come, nap at most 100 us. A thread that waited in
 * poll instead would be woken by the node's every send, and the node would pay for that. */
#define _GNU_SOURCE
#include "fm_load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "bytes.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    NAP_NS = 100000,
    BURSTS_AT_ONCE = 4, /* then the sink has a turn, so that its socket does not overflow when sending lags */
    BURST_MAX = 64,
    OPEN_MAX = 64,
    ROW = FM_JUMBO_PACKET_SIZE + FM_FRAME_OVERHEAD
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t due_ns(const struct fm_load *l)
{
    return l->start_ns + (int64_t)((double)(l->next / l->together) * l->interval_ns);
}

/* Sends frames one datagram each; how many the kernel took. */
static uint32_t send_plain(int fd, const uint8_t *frames, size_t frame_size, uint32_t n)
{
    struct iovec vectors[BURST_MAX];
    struct mmsghdr headers[BURST_MAX];
    uint32_t done = 0, taken = 0;
    memset(headers, 0, n * sizeof headers[0]);
    for (uint32_t i = 0; i < n; i++) {
        vectors[i] = (struct iovec){.iov_base = (void *)(frames + i * frame_size), .iov_len = frame_size};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    while (done < n) {
        int sent = sendmmsg(fd, headers + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        taken += sent > 0 ? (uint32_t)sent : 0;
        done += sent > 0 ? (uint32_t)sent : errno == EINTR ? 0 : 1; /* the first is refused: the rest may not be */
    }
    return taken;
}

static void send_burst(struct fm_load *l, int64_t now)
{
    const size_t frame_size = l->packet_size + FM_FRAME_OVERHEAD;
    const uint32_t first = l->next * l->burst, n = l->n - first < l->burst ? l->n - first : l->burst;
    const uint8_t *frames = l->frames + (size_t)first * frame_size;
    const int fd = l->sockets[l->next % l->n_sockets];
    uint32_t taken;

    if (now - due_ns(l) > l->late_ns) l->late++;
    if (l->trains)
        taken = send(fd, frames, n * frame_size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? 0 : n;
    else
        taken = send_plain(fd, frames, frame_size, n);
    l->sent += taken;
    l->refused += n - taken;
    l->next++;
}

/* 1 if something was due. */
static int send_due(struct fm_load *l)
{
    int sent = 0;
    for (; sent < BURSTS_AT_ONCE && (uint64_t)l->next * l->burst < l->n; sent++) {
        const int64_t now = now_ns();
        if (now < due_ns(l)) break;
        send_burst(l, now);
    }
    return sent > 0;
}

static const struct fm_root *root_of(const struct fm_load *l, uint32_t receiver_index)
{
    for (uint32_t i = 0; i < l->n_roots; i++)
        if (l->roots[i].receiver_index == receiver_index) return &l->roots[i].root;
    return NULL;
}

/* An opened packet: whose is it, and when was it here? */
static void note(struct fm_load *l, const uint8_t *packet, int64_t now)
{
    const uint64_t key = fm_load64(packet);
    for (const struct fm_load *each = l; each; each = each->before) {
        uint32_t at = (uint32_t)(key & each->mask);
        while (each->keys[at] && each->keys[at] != key) at = (at + 1) & each->mask;
        if (!each->keys[at]) continue;
        if (each->arrived_ns[each->packets[at]])
            l->doubled++;
        else
            each->arrived_ns[each->packets[at]] = now;
        return;
    }
    l->unknown++;
}

static void open_some(struct fm_load *l, struct fm_opening *f, size_t n, int64_t now)
{
    fm_link_verify(l->k, f, n, l->packet_size);
    fm_link_decrypt(l->k, f, n, l->packet_size);
    for (size_t i = 0; i < n; i++) {
        if (f[i].verdict == FM_OK)
            note(l, f[i].row + FM_FRAME_PACKET_AT, now);
        else
            l->bad++;
    }
}

static size_t gro_size(struct msghdr *header, size_t whole)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof size);
            return size > 0 ? (size_t)size : whole;
        }
    return whole;
}

/* All frames of the datagrams and trains in the slots, opened in batches. */
static void take(struct fm_load *l, struct mmsghdr *headers, int got, int64_t now)
{
    static uint8_t rows[OPEN_MAX][ROW];
    struct fm_opening f[OPEN_MAX];
    const size_t frame_size = l->packet_size + FM_FRAME_OVERHEAD;
    size_t n = 0;

    for (int i = 0; i < got; i++) {
        const uint8_t *data = l->buffer + (size_t)i * FM_LOAD_SLOT;
        const size_t whole = headers[i].msg_len, size = gro_size(&headers[i].msg_hdr, whole);
        for (size_t at = 0; at < whole; at += size) {
            const struct fm_root *root = size == frame_size && at + size <= whole ? root_of(l, fm_load32(data + at)) : NULL;
            l->received++;
            if (!root) {
                l->bad++;
                continue;
            }
            f[n] = (struct fm_opening){.frame = data + at, .root = root, .row = rows[n]};
            if (++n == OPEN_MAX) {
                open_some(l, f, n, now);
                n = 0;
            }
        }
    }
    open_some(l, f, n, now);
}

/* 1 if something had come. */
static int receive(struct fm_load *l)
{
    struct iovec vectors[FM_LOAD_SLOTS];
    struct mmsghdr headers[FM_LOAD_SLOTS];
    _Alignas(struct cmsghdr) uint8_t control[FM_LOAD_SLOTS][CMSG_SPACE(sizeof(int))];

    memset(headers, 0, sizeof headers);
    for (int i = 0; i < FM_LOAD_SLOTS; i++) {
        vectors[i] = (struct iovec){.iov_base = l->buffer + (size_t)i * FM_LOAD_SLOT, .iov_len = FM_LOAD_SLOT};
        headers[i].msg_hdr = (struct msghdr){
            .msg_iov = &vectors[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = sizeof control[i]};
    }
    int got = recvmmsg(l->sink, headers, FM_LOAD_SLOTS, MSG_DONTWAIT, NULL);
    if (got <= 0) return 0;
    take(l, headers, got, now_ns());
    return 1;
}

static void nap(const struct fm_load *l, int64_t end_ns)
{
    const int64_t now = now_ns(), due = (uint64_t)l->next * l->burst < l->n ? due_ns(l) : end_ns;
    int64_t wait = due - now < NAP_NS ? due - now : NAP_NS;
    if (wait <= 0) return;
    struct timespec t = {.tv_nsec = wait};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

void fm_load_run(struct fm_load *l, int64_t end_ns)
{
    while (now_ns() < end_ns) {
        const int sent = send_due(l);
        if (!receive(l) && !sent) nap(l, end_ns);
    }
}
