/* struct fm_io over one UDP socket with trains: received by UDP_GRO, sent by UDP_SEGMENT. The socket stays its owner's. */
#ifndef FM_GSO_H
#define FM_GSO_H

#include "fm_io.h"

struct fm_gso;

/* Sends and receives a train over a socket pair of its own on loopback. Returns the most datagrams that this kernel sends as one
 * train (128 or 64), 0 where it does not. */
uint32_t fm_gso_probe(void);

/* A new context for the socket fd. Trains of up to max_segments (1: none) are sent; of trains of row_size bytes a datagram all is
 * kept, of others' pieces only the size. At most batch (1..FM_BATCH_MAX) datagrams a call of recv. Of the receive ring's bytes
 * only those that were ever written to are in memory: batch rows as long as nothing comes by trains, 17 MB at most. NULL, with
 * errno, without memory or where the socket takes no UDP_GRO. */
struct fm_gso *fm_gso_new(int fd, uint32_t row_size, uint32_t batch, uint32_t max_segments);
uint64_t fm_gso_ring_size(uint32_t row_size, uint32_t batch);
void fm_gso_free(struct fm_gso *g);
/* The functions of fm_io.h. context is the fm_gso. A train of datagrams that are no frames is given piece by piece as well. */
void fm_gso_io(struct fm_gso *g, struct fm_io *out);
/* Tests only: another sendmmsg, and how long a destination that refused a train gets none. */
void fm_gso_send_by(struct fm_gso *g, uintptr_t sendmmsg_address, int64_t refused_ns);

#endif
