/* Receiving and waiting, the same for every backend over a UDP socket. */
#include "datagrams.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

enum { PENDING_ERRORS = 8 }; /* errors of earlier sends that recvmmsg reports, skipped in one call */

/* What an earlier send brought back (ICMP): not about receiving, and taken off the socket by being reported. */
static int is_pending_error(int error)
{
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH || error == EMSGSIZE || error == EINTR;
}

int fm_receive_once(int fd, struct mmsghdr *headers, uint32_t n, int flags)
{
    for (int i = 0; i < PENDING_ERRORS; i++) {
        int got = recvmmsg(fd, headers, n, MSG_DONTWAIT | flags, NULL);
        if (got >= 0) return got;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        if (!is_pending_error(errno)) return -errno;
    }
    return 0;
}

void fm_poll(int fd, short events, int64_t wait_ns)
{
    struct pollfd p = {.fd = fd, .events = events};
    struct timespec t = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    (void)ppoll(&p, 1, &t, NULL);
}
