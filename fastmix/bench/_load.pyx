"""The load generator and its sink, without the GIL (ext/load.c), over sockets and frames of the caller's."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free

import numpy as np

from fastmix.kernels.isa import active
from fastmix.packet.geometry import FRAME_OVERHEAD

cdef extern from "fm_kernels.h":
    struct fm_kernels:
        pass
    void fm_wipe(void *secret, size_t size) nogil

cdef extern from "fm_link.h":
    struct fm_root:
        pass
    void fm_root_set(const fm_kernels *k, fm_root *out, const uint8_t *root) nogil

cdef extern from "fm_load.h":
    enum: FM_LOAD_BUFFER
    struct fm_load_root:
        uint32_t receiver_index
        fm_root root
    struct fm_load:
        const fm_kernels *k
        size_t packet_size
        const uint8_t *frames
        uint32_t n
        uint32_t burst
        uint32_t together
        const int *sockets
        uint32_t n_sockets
        int trains
        int64_t start_ns
        double interval_ns
        int sink
        const fm_load_root *roots
        uint32_t n_roots
        const uint64_t *keys
        const uint32_t *packets
        uint32_t mask
        fm_load *before
        int64_t *arrived_ns
        uint8_t *buffer
        uint32_t next
        uint64_t sent
        uint64_t refused
        uint64_t late
        int64_t late_ns
        uint64_t received
        uint64_t bad
        uint64_t unknown
        uint64_t doubled
    void fm_load_run(fm_load *l, int64_t end_ns) noexcept nogil

BURST_MAX = 64
COUNTS = ("sent", "refused", "late", "received", "bad", "unknown", "doubled")
"""What `Load.counts` counts: datagrams taken and refused by the kernel, late bursts, frames received, and of them those with a
wrong seal, of no packet that was sent, and second of their kind."""


cdef class Load:
    """Sends frames u8[n, F] in bursts of `burst`, one every `interval_ns` from `start_ns` on, each from the next socket.

    `sockets` are descriptors connected to the node; with `trains` they have UDP_SEGMENT set to F. `roots` are pairs of receiver
    index and receiving root of the links from the node to `sink`. `kx_publics` u8[n, 32] are what the packets' next hops receive;
    zeros: it is not looked for. `together`: so many bursts have one scheduled time.
    The arrays and sockets must stay as they are while this object lives. `ValueError` on wrong shapes.
    """

    cdef fm_load load
    cdef fm_load_root *roots
    cdef list held
    cdef Load before

    def __init__(self, const uint8_t[:, ::1] frames not None, const uint8_t[:, ::1] kx_publics not None, sockets, int sink, roots,
                 int burst, bint trains, int together=1):
        cdef const fm_kernels *kernels = <const fm_kernels *><uintptr_t>active().address
        cdef const uint8_t[::1] root
        cdef size_t i
        if kx_publics.shape[0] != frames.shape[0] or kx_publics.shape[1] != 32 or frames.shape[0] == 0:
            raise ValueError(f"frames are {frames.shape[0]}: as many kx_publics of 32 bytes are needed, and at least one")
        if not 1 <= burst <= BURST_MAX or (trains and burst * frames.shape[1] > 65_000):
            raise ValueError(f"a burst of {burst} frames of {frames.shape[1]} bytes: at most {BURST_MAX}, and 65,000 bytes")
        if together < 1:
            raise ValueError(f"{together} bursts together: at least one")
        self.held = [frames]
        self.load.k, self.load.packet_size = kernels, frames.shape[1] - FRAME_OVERHEAD
        self.load.frames, self.load.n = &frames[0, 0], frames.shape[0]
        self.load.burst, self.load.together, self.load.trains, self.load.sink = burst, together, trains, sink
        self.roots = <fm_load_root *>calloc(len(roots), sizeof(fm_load_root))
        if self.roots == NULL:
            raise MemoryError
        for i, (index, root) in enumerate(roots):
            self.roots[i].receiver_index = index
            fm_root_set(kernels, &self.roots[i].root, &root[0])
        self.load.roots, self.load.n_roots = self.roots, len(roots)
        self._bind(np.array(sockets, np.intc), np.asarray(kx_publics))

    cdef _bind(self, sockets, kx_publics):
        keys, packets = table_of(kx_publics)
        cdef int[::1] descriptors = sockets
        cdef uint64_t[::1] key = keys
        cdef uint32_t[::1] packet = packets
        cdef int64_t[::1] arrived = np.zeros(len(kx_publics), np.int64)
        cdef uint8_t[::1] buffer = np.zeros(FM_LOAD_BUFFER, np.uint8)
        self.held += [sockets, keys, packets, np.asarray(arrived), np.asarray(buffer)]
        self.load.sockets, self.load.n_sockets = &descriptors[0], len(sockets)
        self.load.keys, self.load.packets, self.load.mask = &key[0], &packet[0], len(keys) - 1
        self.load.arrived_ns, self.load.buffer = &arrived[0], &buffer[0]

    def __dealloc__(self):
        if self.roots != NULL:
            fm_wipe(self.roots, self.load.n_roots * sizeof(fm_load_root))
        free(self.roots)

    def schedule(self, int64_t start_ns, double interval_ns, int64_t late_ns):
        """When the first burst leaves (monotonic), the time between two, and from when on one is late."""
        self.load.start_ns, self.load.interval_ns, self.load.late_ns = start_ns, interval_ns, late_ns

    def follow(self, Load before):
        """What is not of this load is looked for in that one, and in those that it follows itself; None: nowhere else."""
        self.before = before
        self.load.before = NULL if before is None else &before.load

    def run(self, int64_t end_ns):
        """Until that time; may be called again. Returns at once when it has passed."""
        with nogil:
            fm_load_run(&self.load, end_ns)

    @property
    def arrived_ns(self):
        """When each packet came back, i64[n]; 0 = not yet."""
        return self.held[4]

    @property
    def next_burst(self):
        """The burst that leaves next."""
        return self.load.next

    def counts(self):
        """A dict of `COUNTS`."""
        return {"sent": self.load.sent, "refused": self.load.refused, "late": self.load.late, "received": self.load.received,
                "bad": self.load.bad, "unknown": self.load.unknown, "doubled": self.load.doubled}


def table_of(kx_publics):
    """Open-addressed table (keys u64[m], packets u32[m]) of the first 8 bytes of u8[n, 32]; `ValueError` where two are alike.
    Zeros are left out."""
    first = np.ascontiguousarray(kx_publics[:, :8]).view(np.uint64)[:, 0]
    if len(np.unique(first[first != 0])) != np.count_nonzero(first):
        raise ValueError("two packets have the same kx_public: they must be distinct")
    size = 1 << max(4, (2 * len(first)).bit_length())
    cdef uint64_t[::1] key = np.zeros(size, np.uint64)
    cdef uint32_t[::1] packet = np.zeros(size, np.uint32)
    cdef const uint64_t[::1] given = first
    cdef uint64_t at, mask = size - 1
    cdef Py_ssize_t i
    with nogil:
        for i in range(given.shape[0]):
            if not given[i]:
                continue
            at = given[i] & mask
            while key[at]:
                at = (at + 1) & mask
            key[at], packet[at] = given[i], <uint32_t>i
    return np.asarray(key), np.asarray(packet)
