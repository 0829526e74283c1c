/* UDP by trains. The kernel hands over a train that it has coalesced, or that a neighbour on this machine has sent, as one
 * message. Two iovecs take it: its first datagram goes into a row, the rows of all messages side by side as with recvmmsg, so
 * that datagrams that come alone stay as cheap (areas of 64 KB for each cost them half as much again, in the TLB and the
 * caches); the rest of a train goes into the message's area, datagram after datagram. */
#include "datagrams.h"
#include "fm_gso.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    AREA = 65600,     /* more than a UDP datagram's 16 bits of length; no power of two: areas would share sets of the caches */
    MESSAGES_MAX = 64 /* a system call: of unexpected trains so many wait here, and no more leave the cache */
};

struct train { /* one received message; size bytes in datagrams of piece_size, the last may be shorter; at: given out so far */
    uint32_t size, piece_size, at;
};

struct fm_gso {
    int fd;
    uint32_t row_size, batch;
    uint32_t head, tail; /* messages received and given out so far; message i has row and area i % batch */
    uint32_t pieces;     /* in a message, as the last call had them */
    uint32_t kept;       /* pieces of all messages that wait */
    uint8_t *rows, *areas;
    struct train trains[FM_BATCH_MAX];
    struct fm_address from[FM_BATCH_MAX];
    struct mmsghdr headers[FM_BATCH_MAX]; /* made once; in a call only what changes is set */
    struct iovec vectors[FM_BATCH_MAX][2];
    union fm_segment_control control[FM_BATCH_MAX];
    struct fm_sender sender;
};

static void make_headers(struct fm_gso *g)
{
    for (uint32_t i = 0; i < g->batch; i++) {
        g->vectors[i][0] = (struct iovec){.iov_base = g->rows + (size_t)i * g->row_size, .iov_len = g->row_size};
        g->vectors[i][1] = (struct iovec){.iov_base = g->areas + (size_t)i * AREA, .iov_len = AREA};
        g->headers[i].msg_hdr = (struct msghdr){.msg_name = g->from[i].bytes, .msg_iov = g->vectors[i], .msg_iovlen = 2,
                                                .msg_control = g->control[i].bytes};
    }
}

struct fm_gso *fm_gso_new(int fd, uint32_t row_size, uint32_t batch, uint32_t max_segments)
{
    int on = 1;
    struct fm_gso *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->fd = fd;
    g->row_size = row_size;
    g->batch = batch < 1 ? 1 : batch > FM_BATCH_MAX ? FM_BATCH_MAX : batch;
    g->pieces = 1;
    g->rows = calloc(g->batch, row_size);
    g->areas = aligned_alloc(64, (size_t)g->batch * AREA);
    if (!g->rows || !g->areas || setsockopt(fd, SOL_UDP, FM_UDP_GRO, &on, sizeof on) != 0) {
        fm_gso_free(g);
        return NULL;
    }
    make_headers(g);
    fm_sender_init(&g->sender, fd, max_segments);
    return g;
}

uint64_t fm_gso_ring_size(uint32_t row_size, uint32_t batch)
{
    return (uint64_t)batch * (row_size + AREA);
}

void fm_gso_free(struct fm_gso *g)
{
    if (!g) return;
    free(g->rows);
    free(g->areas);
    free(g);
}

/* The size of a train's datagrams; 0 where the message is no train. */
static uint32_t segment_size(struct msghdr *h)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        int size;
        if (c->cmsg_level != SOL_UDP || c->cmsg_type != FM_UDP_GRO) continue;
        memcpy(&size, CMSG_DATA(c), sizeof size);
        return size > 0 ? (uint32_t)size : 0;
    }
    return 0;
}

/* Receives up to n messages into free places that lie side by side. Returns how many, or -errno. */
static int fetch(struct fm_gso *g, uint32_t n)
{
    uint32_t first = g->head % g->batch, pieces = 0;
    for (uint32_t i = first; i < first + n; i++) {
        g->headers[i].msg_hdr.msg_namelen = sizeof g->from[i].bytes;
        g->headers[i].msg_hdr.msg_controllen = sizeof g->control[i];
    }
    int got = fm_receive_once(g->fd, g->headers + first, n, 0);
    for (uint32_t i = first; got > 0 && i < first + (uint32_t)got; i++) {
        uint32_t size = g->headers[i].msg_len, piece_size = segment_size(&g->headers[i].msg_hdr);
        if (!piece_size || piece_size > size) piece_size = size;
        g->trains[i] = (struct train){.size = size, .piece_size = piece_size};
        g->from[i].size = g->headers[i].msg_hdr.msg_namelen;
        pieces += piece_size ? (size + piece_size - 1) / piece_size : 1;
    }
    if (got <= 0) return got;
    g->head += (uint32_t)got;
    g->kept += pieces;
    g->pieces = pieces / (uint32_t)got;
    return got;
}

/* Where a piece of message i lies. The kernel may put a frame behind longer datagrams that come from the same address, or pretend
 * to: it is the last piece, and lies whole in the area. Of shorter pieces some begin in the row: they are no frames, and only
 * their sizes count. */
static const uint8_t *piece_data(const struct fm_gso *g, uint32_t i)
{
    const struct train *t = &g->trains[i];
    const uint8_t *row = g->vectors[i][0].iov_base, *area = g->vectors[i][1].iov_base;
    return t->at < g->row_size ? row : area + t->at - g->row_size;
}

/* Gives out up to n datagrams of the messages that wait. */
static uint32_t give(struct fm_gso *g, struct fm_received *rows, uint32_t n)
{
    uint32_t given = 0;
    while (given < n && g->tail != g->head) {
        uint32_t i = g->tail % g->batch;
        struct train *t = &g->trains[i];
        do {
            uint32_t left = t->size - t->at, size = left < t->piece_size ? left : t->piece_size;
            rows[given++] = (struct fm_received){.data = piece_data(g, i), .size = size, .from = &g->from[i]};
            t->at += size;
        } while (given < n && t->at < t->size);
        g->tail += t->at == t->size;
    }
    g->kept -= given;
    return given;
}

/* How many messages to ask for, where missing datagrams are wanted: as many as hold them if trains are as long as they were.
 * Places from start on hold what this call has given out; they must not be written to. */
static uint32_t wanted(const struct fm_gso *g, uint32_t start, uint32_t missing)
{
    uint32_t n = (missing + g->pieces - 1) / g->pieces, free_places = g->batch - (g->head - start);
    uint32_t to_end = g->batch - g->head % g->batch;
    if (n > MESSAGES_MAX) n = MESSAGES_MAX;
    if (n > free_places) n = free_places;
    return n < to_end ? n : to_end;
}

static int gso_recv(void *context, struct fm_received *rows, uint32_t n)
{
    struct fm_gso *g = context;
    if (n > g->batch) n = g->batch;
    if (g->tail == g->head) g->tail = g->head = 0; /* the first places are in the cache */
    if (g->tail >= g->batch) g->tail -= g->batch, g->head -= g->batch; /* the same places, and neither ever comes to 2^32 */
    uint32_t start = g->tail, given = give(g, rows, n);
    while (given < n) {
        uint32_t asked = wanted(g, start, n - given);
        int got = asked ? fetch(g, asked) : 0;
        if (got < 0 && !given) return got;
        given += give(g, rows + given, n - given);
        if (got < (int)asked || !asked) break;
    }
    return (int)given;
}

static int gso_wait(void *context, int64_t wait_ns)
{
    const struct fm_gso *g = context;
    if (g->tail == g->head) fm_poll(g->fd, POLLIN, wait_ns < 0 ? 0 : wait_ns);
    return 0;
}

static uint32_t gso_kept(void *context)
{
    const struct fm_gso *g = context;
    return g->kept;
}

static int gso_send(void *context, struct fm_outgoing *rows, uint32_t n)
{
    struct fm_gso *g = context;
    return fm_sender_send(&g->sender, rows, n, FM_BATCH_MAX);
}

void fm_gso_io(struct fm_gso *g, struct fm_io *out)
{
    *out = (struct fm_io){.context = g, .recv = gso_recv, .wait = gso_wait, .send = gso_send, .kept = gso_kept};
}

void fm_gso_send_by(struct fm_gso *g, uintptr_t sendmmsg_address, int64_t refused_ns)
{
    g->sender.sendmmsg = (fm_sendmmsg_fn)sendmmsg_address;
    g->sender.refused_ns = refused_ns;
}
