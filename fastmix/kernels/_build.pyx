"""Batched Sphinx builders: arrays in, arrays out, without the GIL. Shapes are checked by `fastmix.sphinx`, not here.

Road: client data → **here** → link frame → node
"""

from libc.stdint cimport uint8_t, uint16_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc

from fastmix.kernels.fm_build cimport (
    FAULT_NON_CANONICAL, FAULT_LOW_ORDER, fm_route, fm_build_scratch, fm_build_packets,
    fm_build_surbs, fm_build_replies, fm_open_replies, fm_scalar_multiply, fm_scalar_clamped,
    fm_keypairs,
)
from fastmix.kernels.fm_kernels cimport fm_kernels, fm_wipe

from fastmix.kernels.isa import active


cdef extern from "sys/random.h" nogil:
    int getentropy(void *buffer, size_t size)


cdef extern from "fm_geometry.h" nogil:
    const size_t FM_HEADER_SIZE


cdef const fm_kernels *K = <const fm_kernels *><uintptr_t>active().address

FM_FAULT_NON_CANONICAL = FAULT_NON_CANONICAL
FM_FAULT_LOW_ORDER = FAULT_LOW_ORDER


cdef class Seed:
    """32 secret bytes from which a builder draws; wiped when the object goes."""

    cdef uint8_t bytes[32]

    def __cinit__(self, const uint8_t[::1] given=None):
        """Takes `given` (32 bytes), or draws from the kernel; `OSError` if that fails."""
        cdef int i
        if given is None:
            if getentropy(self.bytes, 32) != 0:
                raise OSError("the kernel gave no random bytes (getentropy)")
        else:
            if given.shape[0] != 32:
                raise ValueError(f"a seed has 32 bytes, not {given.shape[0]}")
            for i in range(32):
                self.bytes[i] = given[i]

    def __dealloc__(self):
        fm_wipe(self.bytes, 32)


cdef class Route:
    """Routes of n packets: `publics` u8[n, h, 32], `targets` u16[n, h-1] or with `peer_ids` (u8[n, 32]) u16[n, h-2].

    `last_action` is the last hop's action code, `ids` u8[n, 16] what it names. Written by the builders: `faults` u8[n] (0, or
    kind + hop) and, if given, `kx_publics` u8[n, h, 32]. Holds the arrays for as long as C may read them.
    """

    cdef fm_route c
    cdef size_t n
    cdef object held

    def __cinit__(
        self,
        const uint8_t[:, :, ::1] publics,
        const uint16_t[:, ::1] targets,
        const uint8_t[:, ::1] peer_ids,
        uint16_t last_action,
        const uint8_t[:, ::1] ids,
        Seed seed,
        uint8_t[:, :, ::1] kx_publics,
        uint8_t[::1] faults,
    ):
        self.n = publics.shape[0]
        self.held = (publics, targets, peer_ids, ids, seed, kx_publics, faults)
        self.c.hops = publics.shape[1]
        self.c.publics = &publics[0, 0, 0]
        self.c.targets = &targets[0, 0]
        self.c.last_action = last_action
        self.c.seed = seed.bytes
        self.c.faults = &faults[0]
        if peer_ids is not None:
            self.c.peer_ids = &peer_ids[0, 0]
        if ids is not None:
            self.c.ids = &ids[0, 0]
        if kx_publics is not None:
            self.c.kx_publics = &kx_publics[0, 0, 0]


cdef fm_build_scratch *new_scratch() except NULL:
    cdef fm_build_scratch *scratch = <fm_build_scratch *>malloc(sizeof(fm_build_scratch))
    if scratch == NULL:
        raise MemoryError("no memory for the builder's scratch")
    return scratch


def build_packets(Route route, const uint8_t[:, ::1] data, uint8_t[:, ::1] packets):
    """Fills `packets` u8[n, P] with requests over `data` u8[n, D], or with covers where `data` is None."""
    cdef fm_build_scratch *scratch = new_scratch()
    cdef size_t size = packets.shape[1]
    cdef const uint8_t *from_data = NULL
    if data is not None:
        from_data = &data[0, 0]
    with nogil:
        fm_build_packets(K, &route.c, from_data, &packets[0, 0], size, size - FM_HEADER_SIZE, scratch, route.n)
        free(scratch)


def build_surbs(Route route, const uint16_t[::1] first, uint8_t[:, ::1] surbs, uint8_t[:, :, ::1] keys):
    """Fills `surbs` u8[n, 222] and `keys` u8[n, h, 192]; `first` u16[n] is each route's first mixnode."""
    cdef fm_build_scratch *scratch = new_scratch()
    with nogil:
        fm_build_surbs(K, &route.c, &first[0], &surbs[0, 0], &keys[0, 0, 0], scratch, route.n)
        free(scratch)


def build_replies(const uint8_t[:, ::1] data, const uint8_t[:, ::1] surbs, uint8_t[:, ::1] packets):
    """Fills `packets` u8[n, P] with replies over `data` u8[n, D] along `surbs` u8[n, 222]."""
    cdef fm_build_scratch *scratch = new_scratch()
    cdef size_t n = packets.shape[0], size = packets.shape[1]
    with nogil:
        fm_build_replies(K, &data[0, 0], &surbs[0, 0], &packets[0, 0], size, size - FM_HEADER_SIZE, scratch, n)
        free(scratch)


def open_replies(uint8_t[:, ::1] payloads, const uint8_t[:, :, ::1] keys, uint8_t[::1] ok):
    """Decrypts `payloads` u8[n, D + 16] in place; `ok` u8[n] is 1 where the tag is right, and other rows become zeros."""
    cdef size_t n = payloads.shape[0], size = payloads.shape[1], hops = keys.shape[1]
    with nogil:
        fm_open_replies(K, &payloads[0, 0], &keys[0, 0, 0], hops, &ok[0], size, n)


def keypairs(Seed seed, uint8_t[:, ::1] secrets, uint8_t[:, ::1] publics):
    """Fills `secrets` and `publics`, u8[n, 32] each, with X25519 pairs."""
    cdef size_t n = secrets.shape[0]
    with nogil:
        fm_keypairs(K, seed.bytes, &secrets[0, 0], &publics[0, 0], n)


def scalar_multiply(const uint8_t[::1] a, const uint8_t[::1] clamped):
    """`a * clamped` modulo the group order; 32 bytes each, little endian, `a` below the order. A face for tests."""
    cdef bytearray out = bytearray(32)
    cdef uint8_t[::1] view = out
    fm_scalar_multiply(&view[0], &a[0], &clamped[0])
    return bytes(out)


def scalar_clamped(const uint8_t[::1] a):
    """`8 a` or `-8 a` in clamped form, 32 bytes. A face for tests."""
    cdef bytearray out = bytearray(32)
    cdef uint8_t[::1] view = out
    fm_scalar_clamped(&view[0], &a[0])
    return bytes(out)


def scratch_is_wiped(Route route, const uint8_t[:, ::1] data, uint8_t[:, ::1] packets):
    """`build_packets` in zeroed memory: whether that memory of derived keys is zero again afterwards. A face for tests."""
    cdef fm_build_scratch *scratch = <fm_build_scratch *>calloc(1, sizeof(fm_build_scratch))
    cdef const uint8_t *content = <const uint8_t *>scratch
    cdef size_t i, size = packets.shape[1]
    cdef uint8_t seen = 0
    if scratch == NULL:
        raise MemoryError("no memory for the builder's scratch")
    fm_build_packets(K, &route.c, &data[0, 0], &packets[0, 0], size, size - FM_HEADER_SIZE, scratch, route.n)
    for i in range(sizeof(fm_build_scratch)):
        seen |= content[i]
    free(scratch)
    return seen == 0
