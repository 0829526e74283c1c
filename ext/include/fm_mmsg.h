/* struct fm_io over one UDP socket: recvmmsg, sendmmsg, ppoll. The socket stays its owner's. */
#ifndef FM_MMSG_H
#define FM_MMSG_H

#include "fm_io.h"

struct fm_mmsg;

/* 1 where the kernel has these calls at all (some sandboxes do not). */
int fm_mmsg_probe(void);

/* A new context for the socket fd: at most batch (1..FM_BATCH_MAX) datagrams a system call, received into a ring of batch rows of
 * row_size bytes. NULL without memory. */
struct fm_mmsg *fm_mmsg_new(int fd, uint32_t row_size, uint32_t batch);
void fm_mmsg_free(struct fm_mmsg *m);
/* The functions of fm_io.h. context is the fm_mmsg. */
void fm_mmsg_io(struct fm_mmsg *m, struct fm_io *out);

#endif
