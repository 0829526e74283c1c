"""Datagrams over a UDP socket, by trains: UDP_GRO and UDP_SEGMENT (ext/gso.c).

Road: **here** → link → unwrap → pool → shuffle → link → **here**
"""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t

import os

from fastmix.udp._datagram_io cimport FM_BATCH_MAX, DatagramIo, fm_io, refuse_sizes

cdef extern from "fm_gso.h":
    struct fm_gso:
        pass
    uint32_t fm_gso_probe()
    uint64_t fm_gso_ring_size(uint32_t row_size, uint32_t batch)
    fm_gso *fm_gso_new(int fd, uint32_t row_size, uint32_t batch, uint32_t max_segments)
    void fm_gso_free(fm_gso *g)
    void fm_gso_io(fm_gso *g, fm_io *out)
    void fm_gso_send_by(fm_gso *g, uintptr_t sendmmsg_address, int64_t refused_ns)


def probe():
    """The most datagrams that the kernel sends as one train, found by sending one to itself over loopback; 0 where it cannot."""
    return fm_gso_probe()


cdef class GsoIo(DatagramIo):
    """`fm_io` over the UDP socket of descriptor fd: trains of datagrams of row_size bytes, at most batch (1..256) datagrams a
    call of recv, at most max_segments in a train that is sent (`probe` says how many the kernel takes).

    The socket stays its owner's; owner, if given, is kept alive as long as this object. `OSError` where it takes no UDP_GRO.
    """

    cdef fm_gso *gso
    cdef object owner

    def __cinit__(self, int fd, int row_size, int batch=FM_BATCH_MAX, object owner=None, *, int max_segments=64):
        refuse_sizes(row_size, batch)
        self.owner, self.row_size, self.ring_size = owner, row_size, fm_gso_ring_size(row_size, batch)
        self.gso = fm_gso_new(fd, row_size, batch, max_segments)
        if self.gso == NULL:
            raise OSError(errno, f"UDP_GRO: {os.strerror(errno)}")
        fm_gso_io(self.gso, &self.io)

    def send_by(self, uintptr_t sendmmsg_address, int64_t refused_ns):
        """Tests only: the address of what is called in place of sendmmsg(2), and for how long a destination that has refused a
        train gets none."""
        fm_gso_send_by(self.gso, sendmmsg_address, refused_ns)

    def __dealloc__(self):
        fm_gso_free(self.gso)
