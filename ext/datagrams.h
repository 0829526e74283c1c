/* What the backends over UDP sockets share: waiting, receiving, and sending with or without trains. */
#ifndef FM_DATAGRAMS_H
#define FM_DATAGRAMS_H

#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "fm_geometry.h"
#include "fm_io.h"

#ifndef SOL_UDP
#define SOL_UDP 17
#endif
enum { FM_UDP_SEGMENT = 103, FM_UDP_GRO = 104 }; /* linux/udp.h: older C libraries have no names for them */
enum { FM_REFUSED_MAX = 64 };

typedef int (*fm_sendmmsg_fn)(int fd, struct mmsghdr *headers, unsigned int n, int flags);

union fm_segment_control { /* one control message: UDP_SEGMENT (u16) or UDP_GRO (int) */
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

/* A destination that takes no trains until then. */
struct fm_refused {
    struct fm_address to;
    int64_t until_ns;
};

/* The sending half of a socket. Neighbouring rows of one address and one size leave as one train of up to max_segments. */
struct fm_sender {
    int fd;
    uint32_t max_segments; /* 1: each datagram by itself */
    int64_t refused_ns;    /* so long a destination that refused a train gets none */
    int64_t refused_until_ns;
    fm_sendmmsg_fn sendmmsg;
    struct fm_refused refused[FM_REFUSED_MAX];
    struct mmsghdr headers[FM_BATCH_MAX];
    struct iovec vectors[FM_BATCH_MAX];
    union fm_segment_control control[FM_BATCH_MAX];
};

void fm_sender_init(struct fm_sender *s, int fd, uint32_t max_segments);
/* fm_send_fn of fm_io.h, but for the context; at most batch rows a system call. */
int fm_sender_send(struct fm_sender *s, struct fm_outgoing *rows, uint32_t n, uint32_t batch);

/* recvmmsg without waiting; errors of earlier sends are skipped. Returns how many, 0 for none, or -errno. */
int fm_receive_once(int fd, struct mmsghdr *headers, uint32_t n, int flags);
void fm_poll(int fd, short events, int64_t wait_ns);

#endif
