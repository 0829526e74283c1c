/* An open-loop load generator and its sink, for `fastmix bench` and `fastmix drill`: one thread that sends sealed frames when
 * their time has come, and opens what the node sends on. Linux only (sendmmsg, recvmmsg, UDP_SEGMENT, UDP_GRO). No part of a node
 * calls this. */
#ifndef FM_LOAD_H
#define FM_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "fm_kernels.h"
#include "fm_link.h"

struct fm_load_root { /* a link from the node to the sink */
    uint32_t receiver_index;
    struct fm_root root;
};

struct fm_load {
    const struct fm_kernels *k;
    size_t packet_size;

    /* What goes out: n frames of packet_size + 32 bytes, contiguous. A burst is `burst` frames of one link with one scheduled
     * time; burst b leaves through socket b % n_sockets, connected to the node, at start_ns + b / together * interval_ns. */
    const uint8_t *frames;
    uint32_t n, burst, together;
    const int *sockets;
    uint32_t n_sockets;
    int trains; /* 1: a burst is one UDP_SEGMENT send; the sockets have the option set */
    int64_t start_ns;
    double interval_ns;

    /* What comes back. keys/packets: open-addressed table of mask + 1 entries from the first 8 bytes of a packet's onward
     * kx_public (0 = empty) to its number. arrived_ns[number]: when the sink had it, 0 = not yet. What is in no place of the
     * table is looked for in that of `before`, and so on: who has sent before, into the same sink. */
    struct fm_load *before;
    int sink;
    const struct fm_load_root *roots;
    uint32_t n_roots;
    const uint64_t *keys;
    const uint32_t *packets;
    uint32_t mask;
    int64_t *arrived_ns;
    uint8_t *buffer; /* FM_LOAD_BUFFER bytes */

    /* Counts; `next` is the burst to send next. */
    uint32_t next;
    uint64_t sent, refused; /* datagrams that the kernel took, or not */
    uint64_t late;          /* bursts sent more than late_ns after their time */
    int64_t late_ns;
    uint64_t received, bad, unknown, doubled; /* frames that came, and of them: wrong seal; not ours; second of its kind */
};
enum { FM_LOAD_SLOTS = 16, FM_LOAD_SLOT = 65536, FM_LOAD_BUFFER = FM_LOAD_SLOTS * FM_LOAD_SLOT };

/* Sends and receives until end_ns (monotonic). May be called again, to go on. */
void fm_load_run(struct fm_load *l, int64_t end_ns);

#endif
