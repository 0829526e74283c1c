"""Datagrams in batches over a `struct fm_io` (ext/include/fm_io.h): the same two calls for sockets and for memory.

Road: **here** → link → unwrap → pool → shuffle → link → **here**. The node's data plane calls the functions in `address` itself,
without Python; the methods are for clients and tests.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uintptr_t
from libc.string cimport memcpy

import os

import numpy as np

ADDRESS = np.dtype([("bytes", np.uint8, 28), ("size", np.uint32)])


cdef int refuse_sizes(int row_size, int batch) except -1:
    """`ValueError` for a row size or a batch that no socket can have."""
    if not 1 <= batch <= FM_BATCH_MAX:
        raise ValueError(f"batch is {batch}: it must be from 1 to {FM_BATCH_MAX}")
    if not 1 <= row_size <= 65535:
        raise ValueError(f"row_size is {row_size}: it must be from 1 to 65535")
    return 0


cdef class DatagramIo:
    """Base of `MmsgIo`, `GsoIo`, `SocketIo` and `MemoryIo`. One thread at a time; with sockets one may receive while another
    sends, if both go through `address`.

    `row_size`: bytes that are kept of a datagram; `ring_size`: bytes that received datagrams take in this process, at most.
    """

    @property
    def address(self):
        """Address of the struct fm_io, valid as long as this object lives."""
        return <uintptr_t>&self.io

    def wait(self, int64_t wait_ns):
        """Until a datagram may be there, wait_ns have passed or a signal came; without the GIL. Memory does not wait."""
        with nogil:
            self.io.wait(self.io.context, wait_ns)

    def recv_into(self, uint8_t[:, ::1] rows):
        """Takes what is there, at most 256 and at most one for each row of u8[n, S], without waiting.

        Gives (count, sizes u32[count], addresses ADDRESS[count]); a size larger than S means that the rest was cut off.
        Raises `OSError` when the socket is unusable, `ValueError` where S is more than `row_size`.
        """
        cdef uint32_t n = min(rows.shape[0], FM_BATCH_MAX), row_size = rows.shape[1]
        cdef uint32_t i
        cdef int count
        if row_size > self.row_size:
            raise ValueError(f"rows have {row_size} bytes: this socket keeps {self.row_size} of a datagram")
        with nogil:
            count = self.io.recv(self.io.context, self.received, n)
        if count < 0:
            raise OSError(-count, os.strerror(-count))
        sizes, addresses = np.empty(count, np.uint32), np.zeros(count, ADDRESS)
        cdef uint32_t[::1] size = sizes
        cdef uint8_t[:, ::1] address = addresses.view(np.uint8).reshape(count, sizeof(fm_address))
        for i in range(<uint32_t>count):
            size[i] = self.received[i].size
            memcpy(&rows[i, 0], self.received[i].data, min(size[i], row_size))
            memcpy(&address[i, 0], self.received[i].from_.bytes, min(self.received[i].from_.size, <uint32_t>28))
            memcpy(&address[i, 28], &self.received[i].from_.size, 4)
        return count, sizes, addresses

    def send_from(self, const uint8_t[:, ::1] rows, const uint32_t[::1] sizes, addresses):
        """Sends the first sizes[i] bytes of row i of u8[n, S] to addresses[i] (ADDRESS[n]), in order.

        Gives i32[n]: 0 where the kernel took the datagram, -errno where it did not. Raises `ValueError` for wrong shapes.
        """
        cdef Py_ssize_t n = rows.shape[0], first, i
        cdef uint32_t count
        if addresses.dtype != ADDRESS or addresses.shape != (n,) or sizes.shape[0] != n:
            raise ValueError(f"rows are {n}: as many sizes and as many addresses of dtype ADDRESS are needed")
        if n and np.max(sizes) > rows.shape[1]:
            raise ValueError(f"a size of {np.max(sizes)} is more than a row's {rows.shape[1]} bytes")
        results = np.empty(n, np.int32)
        cdef int32_t[::1] result = results
        cdef const uint8_t[:, ::1] address = np.ascontiguousarray(addresses).view(np.uint8).reshape(n, sizeof(fm_address))
        for first in range(0, n, FM_BATCH_MAX):
            count = <uint32_t>min(n - first, FM_BATCH_MAX)
            for i in range(count):
                self.outgoing[i].data = &rows[first + i, 0]
                self.outgoing[i].size = sizes[first + i]
                memcpy(&self.outgoing[i].to, &address[first + i, 0], sizeof(fm_address))
            with nogil:
                self.io.send(self.io.context, self.outgoing, count)
            for i in range(count):
                result[first + i] = self.outgoing[i].result
        return results
