/* struct fm_io over two bounded rings of datagrams in memory: what the network in memory runs on. One thread at a time. */
#ifndef FM_RINGS_H
#define FM_RINGS_H

#include "fm_io.h"

struct fm_rings;

/* Two rings of capacity datagrams each, of which row_size bytes are kept; NULL without memory. */
struct fm_rings *fm_rings_new(uint32_t capacity, uint32_t row_size);
void fm_rings_free(struct fm_rings *r);
/* The functions of fm_io.h: recv takes what was pushed (its bytes hold until the next push), send fills the ring that pop
 * empties, wait returns at once. A full ring of sent datagrams gives -ENOBUFS. */
void fm_rings_io(struct fm_rings *r, struct fm_io *out);

/* 1, or 0 and counted as dropped when the ring of received datagrams is full (as a kernel's receive buffer is). */
int fm_rings_push(struct fm_rings *r, const uint8_t *data, uint32_t size, const struct fm_address *from);
/* The oldest sent datagram, valid until the next call on r; NULL when there is none. */
const uint8_t *fm_rings_pop(struct fm_rings *r, uint32_t *size, struct fm_address *to);
uint64_t fm_rings_dropped(const struct fm_rings *r);
uint32_t fm_rings_waiting(const struct fm_rings *r); /* pushed and not yet received */
uint32_t fm_rings_sent(const struct fm_rings *r);    /* sent and not yet popped */

#endif
