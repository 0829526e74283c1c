"""Whole packets as stages: unwrap, build, link frames; and the unwrap of libsodium, one packet at a time.

The same C functions as in a node. `results` of the two unwraps are compared before either is timed.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

import numpy as np

from fastmix.bench._stages cimport Stage
from fastmix.kernels.fm_build cimport fm_build_packets, fm_build_scratch, fm_route
from fastmix.kernels.fm_kernels cimport fm_kernels
from fastmix.kernels.fm_link cimport (
    FM_BATCH_MAX, FM_COUNTER, fm_batch_key, fm_link_decrypt, fm_link_seal,
    fm_link_verify, fm_opening, fm_root, fm_root_set, fm_sealing,
)
from fastmix.kernels.fm_sphinx cimport fm_columns, fm_unwrap, fm_unwrap_apply, fm_unwrap_check, fm_unwrap_scratch

from fastmix.kernels.isa import kernels_named
from fastmix.kernels._unwrap import columns_for
from fastmix.packet.geometry import GEOMETRIES, Action, geometry_named

cdef extern from "fm_geometry.h":
    const size_t FM_HEADER_SIZE

cdef extern from "fm_bench.h":
    struct fm_sodium:
        void *scalarmult
        void *blake2b
        void *chacha20
        void *memcmp
        void *is_zero
        void *memzero
    struct fm_unwrapped_one:
        uint8_t verdict
        uint16_t next_index
        double delay
        uint8_t tag[16]
    void fm_sodium_unwrap(const fm_sodium *s, uint8_t *packet, size_t packet_size, const uint8_t *secret,
                          const uint8_t *replay_key, fm_unwrapped_one *out) noexcept nogil


cdef const fm_kernels *_table(isa) except NULL:
    return <const fm_kernels *><uintptr_t>kernels_named(isa).address


cdef _expect(name, array, shape):
    """The array, if it is C-contiguous u8 of that shape; `ValueError` otherwise."""
    if array.dtype != np.uint8 or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"{name} are {array.dtype}{list(array.shape)}: expected C-contiguous uint8{list(shape)}")
    return array


cdef class _Packets(Stage):
    """n packets that every run begins with anew, and who unwraps them."""

    cdef uint8_t[:, ::1] fresh, rows
    cdef uint8_t secret[32]
    cdef uint8_t replay_key[32]

    cdef _take(self, packets, const uint8_t[::1] secret):
        if not 1 <= len(packets) <= FM_BATCH_MAX:
            raise ValueError(f"there are {len(packets)} packets: a batch has 1 to {FM_BATCH_MAX}")
        if packets.shape[1] not in [geometry.packet_size for geometry in GEOMETRIES.values()] or secret.shape[0] != 32:
            raise ValueError(f"packets have {packets.shape[1]} bytes, the secret {secret.shape[0]}: no geometry has such packets")
        self.n = len(packets)
        self.fresh, self.rows = _expect("packets", packets, packets.shape), np.zeros_like(packets)
        memcpy(self.secret, &secret[0], 32)
        memcpy(self.replay_key, &secret[0], 32)

    cdef void prepare(self) noexcept nogil:
        memcpy(&self.rows[0, 0], &self.fresh[0, 0], self.fresh.shape[0] * self.fresh.shape[1])


cdef class UnwrapStage(_Packets):
    """Check and apply of packets u8[n, P] (n <= 256), all forwards, without a replay set between them."""

    cdef const fm_kernels *kernels
    cdef fm_unwrap bound
    cdef dict columns
    cdef uint32_t slots[FM_BATCH_MAX]

    def __init__(self, isa, packets, secret):
        cdef size_t i
        self.isa, self.kernels = isa, _table(isa)
        self._take(packets, secret)
        self.columns = columns_for(self.n)
        for i in range(self.n):
            self.slots[i] = i
        at = {name: array.ctypes.data for name, array in self.columns.items()}
        self.bound.packets, self.bound.stride = &self.rows[0, 0], self.rows.shape[1]
        self.bound.payload_size = self.rows.shape[1] - FM_HEADER_SIZE
        self.bound.secret, self.bound.replay_key = self.secret, self.replay_key
        self.bound.columns = fm_columns(
            <uint8_t *><uintptr_t>at["verdict"], <uint16_t *><uintptr_t>at["action"], <uint16_t *><uintptr_t>at["next_index"],
            <double *><uintptr_t>at["delay"], <uint8_t *><uintptr_t>at["peer_id"], <uint8_t *><uintptr_t>at["surb_id"],
            <uint8_t *><uintptr_t>at["tag"])
        self.bound.scratch = <fm_unwrap_scratch *>calloc(1, sizeof(fm_unwrap_scratch))
        if self.bound.scratch == NULL:
            raise MemoryError("no memory for the scratch of unwrapping")

    def __dealloc__(self):
        free(self.bound.scratch)

    cdef void run(self) noexcept nogil:
        fm_unwrap_check(self.kernels, &self.bound, self.slots, self.n)
        fm_unwrap_apply(self.kernels, &self.bound, self.slots, self.n)

    def results(self):
        """Unwraps once: verdict u8[n], next_index u16[n], delay f8[n], tag u8[n, 16], packets u8[n, P]."""
        self.prepare()
        self.run()
        kept = {name: self.columns[name].copy() for name in ("verdict", "next_index", "delay", "tag")}
        return kept | {"packets": np.array(self.rows)}


cdef class SodiumStage(_Packets):
    """The same one packet at a time over libsodium; `functions` are addresses, as `fastmix.bench.sodium.functions` finds them."""

    cdef fm_sodium sodium
    cdef fm_unwrapped_one out[FM_BATCH_MAX]

    def __init__(self, functions, packets, secret):
        self._take(packets, secret)
        self.isa = "libsodium"
        for name, address in functions.items():
            if not address:
                raise ValueError(f"libsodium's {name} has no address")
        self.sodium = fm_sodium(
            <void *><uintptr_t>functions["scalarmult"], <void *><uintptr_t>functions["blake2b"],
            <void *><uintptr_t>functions["chacha20"], <void *><uintptr_t>functions["memcmp"],
            <void *><uintptr_t>functions["is_zero"], <void *><uintptr_t>functions["memzero"])

    cdef void run(self) noexcept nogil:
        cdef size_t i
        for i in range(self.n):
            fm_sodium_unwrap(&self.sodium, &self.rows[i, 0], self.rows.shape[1], self.secret, self.replay_key, &self.out[i])

    def results(self):
        """As `UnwrapStage.results`."""
        cdef size_t i, n = self.n
        tags = np.empty((n, 16), np.uint8)
        cdef uint8_t[:, ::1] tag = tags
        self.prepare()
        self.run()
        for i in range(n):
            memcpy(&tag[i, 0], self.out[i].tag, 16)
        return {
            "verdict": np.array([self.out[i].verdict for i in range(n)], np.uint8),
            "next_index": np.array([self.out[i].next_index for i in range(n)], np.uint16),
            "delay": np.array([self.out[i].delay for i in range(n)]),
            "tag": tags,
            "packets": np.array(self.rows),
        }


cdef class BuildStage(Stage):
    """Requests for routes `publics` u8[n, h, 32] and `targets` u16[n, h-1], with data of zeros."""

    cdef const fm_kernels *kernels
    cdef fm_route route
    cdef fm_build_scratch *scratch
    cdef uint8_t[:, ::1] data, packets
    cdef uint8_t seed[32]

    def __init__(self, isa, const uint8_t[:, :, ::1] publics not None, const uint16_t[:, ::1] targets not None, geometry="wan"):
        chosen = geometry_named(geometry)
        self.isa, self.kernels, self.n = isa, _table(isa), publics.shape[0]
        if targets.shape[0] != publics.shape[0] or targets.shape[1] != publics.shape[1] - 1 or publics.shape[0] == 0:
            raise ValueError(f"publics name {publics.shape[0]} x {publics.shape[1]} hops: targets do not fit them")
        self.data, self.packets = np.zeros((self.n, chosen.data_size), np.uint8), np.zeros((self.n, chosen.packet_size), np.uint8)
        faults = np.zeros(self.n, np.uint8)
        self.held = [publics, targets, faults]
        self.route.hops, self.route.publics, self.route.seed = publics.shape[1], &publics[0, 0, 0], self.seed
        self.route.targets = &targets[0, 0]
        self.route.last_action, self.route.faults = int(Action.DELIVER_REQUEST), <uint8_t *><uintptr_t>faults.ctypes.data
        self.scratch = <fm_build_scratch *>calloc(1, sizeof(fm_build_scratch))
        if self.scratch == NULL:
            raise MemoryError("no memory for the scratch of building")

    def __dealloc__(self):
        free(self.scratch)

    cdef void run(self) noexcept nogil:
        self.seed[0] += 1
        fm_build_packets(self.kernels, &self.route, &self.data[0, 0], &self.packets[0, 0], self.packets.shape[1],
                         self.packets.shape[1] - FM_HEADER_SIZE, self.scratch, self.n)

    def results(self):
        """The packets u8[n, P] of the last run."""
        return np.array(self.packets)


cdef class LinkStage(Stage):
    """n frames (at most 256) of one link: sealed in place, or opened (verified and decrypted out of place)."""

    cdef const fm_kernels *kernels
    cdef fm_root root
    cdef uint8_t batch_key[32]
    cdef fm_sealing sealing[FM_BATCH_MAX]
    cdef fm_opening opening[FM_BATCH_MAX]
    cdef uint8_t[:, ::1] frames, rows
    cdef bint opens
    cdef size_t packet_size

    def __init__(self, isa, n, opens, geometry="wan"):
        cdef size_t i
        chosen = geometry_named(geometry)
        if not 1 <= n <= FM_BATCH_MAX:
            raise ValueError(f"n is {n}: a batch has 1 to {FM_BATCH_MAX}")
        self.isa, self.kernels, self.n, self.opens, self.packet_size = isa, _table(isa), n, opens, chosen.packet_size
        self.frames, self.rows = np.zeros((n, chosen.row_stride), np.uint8), np.zeros((n, chosen.row_stride), np.uint8)
        fm_root_set(self.kernels, &self.root, self.batch_key)
        fm_batch_key(self.kernels, self.batch_key, self.root.root, 1)
        for i in range(self.n):
            self.sealing[i].row, self.sealing[i].root, self.sealing[i].batch_key = &self.frames[i, 0], &self.root, self.batch_key
            self.sealing[i].receiver_index, self.sealing[i].counter = 7, FM_COUNTER(1, <uint32_t>i)
            self.opening[i].frame, self.opening[i].root, self.opening[i].row = &self.frames[i, 0], &self.root, &self.rows[i, 0]
        fm_link_seal(self.kernels, self.sealing, self.n, self.packet_size)

    cdef void run(self) noexcept nogil:
        if self.opens:
            fm_link_verify(self.kernels, self.opening, self.n, self.packet_size)
            fm_link_decrypt(self.kernels, self.opening, self.n, self.packet_size)
        else:
            fm_link_seal(self.kernels, self.sealing, self.n, self.packet_size)

    def results(self):
        """Verdicts u8[n] of the last opening."""
        return np.array([self.opening[i].verdict for i in range(self.n)], np.uint8)
