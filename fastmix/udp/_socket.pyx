"""Datagrams over a UDP socket, one by one through Python's `socket`: for machines whose kernel has no batched calls.

Road: **here** → link → unwrap → pool → shuffle → link → **here**. Each datagram takes the GIL and some microseconds.
"""

from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.buffer cimport PyBUF_READ
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

import contextlib
import errno
import functools
import select
import socket

import numpy as np

from fastmix.seam.address import address_pair, pack_address
from fastmix.udp._datagram_io import ADDRESS

from fastmix.udp._datagram_io cimport FM_BATCH_MAX, DatagramIo, fm_address, fm_io, fm_outgoing, fm_received, refuse_sizes

PENDING = frozenset((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMSGSIZE))
"""What an earlier send brought back: not about receiving."""
SOL_UDP, UDP_GRO = 17, 104
SEND_RETRIES = 8
SEND_WAIT_S = 0.001
"""Waits for room, in one call of send, and their length."""


@functools.lru_cache(2048)
def _packed(host, port, scope):
    """An address of recvfrom as the bytes of ADDRESS."""
    return pack_address(f"{host}%{scope}" if scope and "%" not in host else host, port).tobytes()


@functools.lru_cache(2048)
def _unpacked(address):
    """The bytes of an ADDRESS as sendto takes it; None for none."""
    item = np.frombuffer(address, ADDRESS)[0]
    return address_pair(item) if item["size"] else None


def _hand_over(sock, view, address, retries):
    """Sends one datagram to the bytes of an ADDRESS; gives (0 or -errno, waits that are left)."""
    while True:
        try:
            to = _unpacked(address)
            sock.sendto(view, socket.MSG_DONTWAIT, to) if to else sock.send(view, socket.MSG_DONTWAIT)
            return 0, retries
        except (ValueError, socket.gaierror):  # an address of another family
            return -errno.EAFNOSUPPORT, retries
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS) or not retries:
                return -(error.errno or errno.EIO), retries
            retries -= 1
            select.select([], [sock], [], SEND_WAIT_S)


cdef class SocketIo(DatagramIo):
    """`fm_io` over a `socket.socket`: at most batch (1..256) datagrams a call, of each at most row_size bytes are kept.

    The socket stays its owner's; owner, if given, is kept alive as long as this object.
    """

    cdef object socket, rows, views, owner
    cdef uint8_t[:, ::1] ring
    cdef fm_address senders[FM_BATCH_MAX]
    cdef uint32_t batch

    def __cinit__(self, object sock, int row_size, int batch=FM_BATCH_MAX, object owner=None):
        refuse_sizes(row_size, batch)
        self.socket, self.owner, self.batch = sock, owner, batch
        self.row_size, self.ring_size = row_size, batch * row_size
        self.rows = np.zeros((batch, row_size), np.uint8)
        self.ring, self.views = self.rows, [memoryview(row) for row in self.rows]
        self.io = fm_io(<void *>self, _recv, _wait, _send, NULL)
        with contextlib.suppress(OSError):
            sock.setsockopt(SOL_UDP, UDP_GRO, 0)  # a train would not fit a row

    cdef int receive(self, fm_received *rows, uint32_t n) except -1:
        cdef uint32_t i
        cdef const uint8_t[::1] address
        for i in range(min(n, self.batch)):
            found = self.next_datagram(i)
            if found is None:
                return i
            address = _packed(*found[1][:2], found[1][3] if len(found[1]) > 3 else 0)
            memcpy(&self.senders[i], &address[0], sizeof(fm_address))
            rows[i].data, rows[i].size, rows[i].from_ = &self.ring[i, 0], found[0], &self.senders[i]
        return min(n, self.batch)

    cdef next_datagram(self, uint32_t row):
        for _ in range(SEND_RETRIES):
            try:
                return self.socket.recvfrom_into(self.views[row], 0, socket.MSG_DONTWAIT | socket.MSG_TRUNC)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno not in PENDING:
                    if row:
                        return None  # what this call has taken already is not to be lost
                    raise
        return None

    cdef int send(self, fm_outgoing *rows, uint32_t n) except -1:
        cdef uint32_t i
        cdef int taken = 0
        retries = SEND_RETRIES
        for i in range(n):
            view = PyMemoryView_FromMemory(<char *>rows[i].data, rows[i].size, PyBUF_READ)
            rows[i].result, retries = _hand_over(self.socket, view, (<char *>&rows[i].to)[:sizeof(fm_address)], retries)
            taken += rows[i].result == 0
        return taken


cdef int _recv(void *context, fm_received *rows, uint32_t n) noexcept with gil:
    try:
        return (<SocketIo>context).receive(rows, n)
    except OSError as error:
        return -(error.errno or errno.EIO)


cdef int _wait(void *context, int64_t wait_ns) noexcept with gil:
    try:
        poll = select.poll()
        poll.register((<SocketIo>context).socket, select.POLLIN)
        poll.poll(max(wait_ns, 0) / 1e6)
    except OSError:
        pass
    return 0


cdef int _send(void *context, fm_outgoing *rows, uint32_t n) noexcept with gil:
    try:
        return (<SocketIo>context).send(rows, n)
    except OSError as error:
        return -(error.errno or errno.EIO)
