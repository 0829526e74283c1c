"""Datagrams over a UDP socket, by recvmmsg and sendmmsg (ext/mmsg.c).

Road: **here** → link → unwrap → pool → shuffle → link → **here**
"""

from libc.stdint cimport uint32_t

from fastmix.udp._datagram_io cimport FM_BATCH_MAX, DatagramIo, fm_io, refuse_sizes

cdef extern from "fm_mmsg.h":
    struct fm_mmsg:
        pass
    int fm_mmsg_probe()
    fm_mmsg *fm_mmsg_new(int fd, uint32_t row_size, uint32_t batch)
    void fm_mmsg_free(fm_mmsg *m)
    void fm_mmsg_io(fm_mmsg *m, fm_io *out)


def probe():
    """True where the kernel has recvmmsg."""
    return bool(fm_mmsg_probe())


cdef class MmsgIo(DatagramIo):
    """`fm_io` over the UDP socket of descriptor fd: at most batch (1..256) datagrams a system call, and of each at most row_size
    bytes are kept.

    The socket stays its owner's; owner, if given, is kept alive as long as this object.
    """

    cdef fm_mmsg *mmsg
    cdef object owner

    def __cinit__(self, int fd, int row_size, int batch=FM_BATCH_MAX, object owner=None):
        refuse_sizes(row_size, batch)
        self.owner, self.row_size, self.ring_size = owner, row_size, batch * row_size
        self.mmsg = fm_mmsg_new(fd, row_size, batch)
        if self.mmsg == NULL:
            raise MemoryError
        fm_mmsg_io(self.mmsg, &self.io)

    def __dealloc__(self):
        fm_mmsg_free(self.mmsg)
