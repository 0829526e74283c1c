"""Datagrams in memory (ext/rings.c): what a network in memory has in place of sockets.

Road: **here** → link → unwrap → pool → shuffle → link → **here**
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from fastmix.udp._datagram_io import ADDRESS

from fastmix.udp._datagram_io cimport DatagramIo, fm_address, fm_io

cdef extern from "fm_rings.h":
    struct fm_rings:
        pass
    fm_rings *fm_rings_new(uint32_t capacity, uint32_t row_size)
    void fm_rings_free(fm_rings *r)
    void fm_rings_io(fm_rings *r, fm_io *out)
    int fm_rings_push(fm_rings *r, const uint8_t *data, uint32_t size, const fm_address *from_)
    const uint8_t *fm_rings_pop(fm_rings *r, uint32_t *size, fm_address *to)
    uint64_t fm_rings_dropped(const fm_rings *r)
    uint32_t fm_rings_waiting(const fm_rings *r)
    uint32_t fm_rings_sent(const fm_rings *r)


cdef class MemoryIo(DatagramIo):
    """`fm_io` over two rings of capacity datagrams each, of which row_size bytes are kept.

    What is pushed is received; what is sent is popped. A push into a full ring is dropped and counted, as a kernel does.
    """

    cdef fm_rings *rings

    def __cinit__(self, int capacity, int row_size):
        if capacity < 1 or row_size < 1:
            raise ValueError(f"capacity {capacity} and row_size {row_size} must be at least 1")
        self.rings = fm_rings_new(capacity, row_size)
        if self.rings == NULL:
            raise MemoryError
        self.row_size, self.ring_size = row_size, <uint64_t>capacity * row_size
        fm_rings_io(self.rings, &self.io)

    def __dealloc__(self):
        fm_rings_free(self.rings)

    def push(self, const uint8_t[::1] datagram not None, from_address):
        """Puts a datagram (bytes or u8[size]) from an ADDRESS item into the receive ring; True, or False if it was full."""
        cdef fm_address sender
        cdef const uint8_t[::1] raw = np.asarray(from_address, ADDRESS).reshape(1).view(np.uint8)
        memcpy(&sender, &raw[0], sizeof(fm_address))
        return bool(fm_rings_push(self.rings, &datagram[0], datagram.shape[0], &sender))

    def pop_sent(self):
        """All datagrams sent so far, oldest first, taken off the ring: a list of (ADDRESS item, bytes)."""
        cdef uint32_t i, size, n = fm_rings_sent(self.rings)
        cdef fm_address to
        cdef const uint8_t *data
        addresses = np.zeros(n, ADDRESS)
        cdef uint8_t[:, ::1] raw = addresses.view(np.uint8).reshape(n, sizeof(fm_address))
        datagrams = []
        for i in range(n):
            data = fm_rings_pop(self.rings, &size, &to)
            memcpy(&raw[i, 0], &to, sizeof(fm_address))
            datagrams.append(data[:size])
        return list(zip(addresses, datagrams, strict=True))

    @property
    def dropped(self):
        """Pushes that found the receive ring full."""
        return fm_rings_dropped(self.rings)

    @property
    def waiting(self):
        """Datagrams pushed and not yet received."""
        return fm_rings_waiting(self.rings)
