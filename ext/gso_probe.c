/* Whether this kernel sends and receives trains, tried and not guessed: a sandbox may accept the options and ignore them. */
#include "datagrams.h"
#include "fm_gso.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 8, MOST = 128, PATIENCE_NS = 200000000 };

/* A UDP socket on loopback at a port that the kernel chooses; -1 where there is none. */
static int loopback_socket(struct sockaddr_in *at)
{
    socklen_t size = sizeof *at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (fd < 0) return -1;
    if (bind(fd, (struct sockaddr *)at, sizeof *at) == 0 && getsockname(fd, (struct sockaddr *)at, &size) == 0) return fd;
    close(fd);
    return -1;
}

static int send_train(int fd, uint32_t n)
{
    static const uint8_t bytes[PIECE * MOST];
    union fm_segment_control control = {
        .header = {.cmsg_len = CMSG_LEN(sizeof(uint16_t)), .cmsg_level = SOL_UDP, .cmsg_type = FM_UDP_SEGMENT}};
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = PIECE * n};
    struct msghdr h = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes};
    uint16_t size = PIECE;
    memcpy(CMSG_DATA(&control.header), &size, sizeof size);
    h.msg_controllen = CMSG_SPACE(sizeof size);
    return sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)vector.iov_len;
}

/* True if what comes is one message of n pieces, said to be one. */
static int receive_train(int fd, uint32_t n)
{
    uint8_t bytes[PIECE * MOST];
    union fm_segment_control control = {.bytes = {0}};
    struct iovec vector = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct msghdr h = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
    int size = 0;
    fm_poll(fd, POLLIN, PATIENCE_NS);
    if (recvmsg(fd, &h, MSG_DONTWAIT) != (ssize_t)(PIECE * n)) return 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    if (c && c->cmsg_level == SOL_UDP && c->cmsg_type == FM_UDP_GRO) memcpy(&size, CMSG_DATA(c), sizeof size);
    return size == PIECE;
}

static uint32_t probe_between(int from, int to)
{
    for (uint32_t n = MOST; n >= MOST / 2; n /= 2)
        if (send_train(from, n)) return receive_train(to, n) ? n : 0;
    return 0;
}

uint32_t fm_gso_probe(void)
{
    struct sockaddr_in a_at, b_at;
    int on = 1, a = loopback_socket(&a_at), b = loopback_socket(&b_at);
    uint32_t found = 0;
    if (a >= 0 && b >= 0 && connect(a, (struct sockaddr *)&b_at, sizeof b_at) == 0 &&
        connect(b, (struct sockaddr *)&a_at, sizeof a_at) == 0 && setsockopt(b, SOL_UDP, FM_UDP_GRO, &on, sizeof on) == 0)
        found = probe_between(a, b);
    if (a >= 0) close(a);
    if (b >= 0) close(b);
    return found;
}
