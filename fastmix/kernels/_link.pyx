"""Link frames in batches: seal, verify, open; and the replay window of a link.

The Python face of `ext/link.c` and `ext/window.c`, for clients and tests; the node's data plane calls the same C functions.
Bytes and keys are described in docs/wire-format.md.

Road: recvmmsg → **here** → unwrap → pool → shuffle → **here** → sendmmsg
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import numpy as np

from fastmix.kernels.fm_kernels cimport fm_kernels, fm_wipe
from fastmix.kernels.fm_link cimport (
    FM_BATCH_MAX, FM_FRAME_OVERHEAD, FM_OK, FM_COUNTER, fm_opening,
    fm_root, fm_sealing, fm_window, fm_root_set, fm_batch_key,
    fm_link_verify, fm_link_decrypt, fm_link_seal, fm_window_accept,
)

from fastmix.kernels.isa import active
from fastmix.packet.geometry import GEOMETRIES

cdef const fm_kernels *K = <const fm_kernels *><uintptr_t>active().address
FRAME_SIZES = {geometry.frame_size for geometry in GEOMETRIES.values()}


cdef class Root:
    """A link root and its mask key, in C memory; wiped when it is dropped."""

    cdef fm_root keys

    def __cinit__(self, root):
        """Takes 32 bytes; `ValueError` names the length otherwise."""
        cdef const uint8_t[::1] view = root
        if view.shape[0] != 32:
            raise ValueError(f"a link root has {view.shape[0]} bytes: it must have 32")
        fm_root_set(K, &self.keys, &view[0])

    def __dealloc__(self):
        self.wipe()

    cpdef void wipe(self):
        """Overwrites both keys; frames under this root can be neither sealed nor opened afterwards."""
        fm_wipe(&self.keys, sizeof(self.keys))

    def __reduce__(self):
        raise TypeError("a link root is not pickled: it stays in the process that uses it")


cdef class Window:
    """Replay window of 8,192 sequence numbers (RFC 6479)."""

    cdef fm_window *window

    def __cinit__(self):
        self.window = <fm_window *>malloc(sizeof(fm_window))
        if self.window == NULL:
            raise MemoryError
        memset(self.window, 0, sizeof(fm_window))

    def __dealloc__(self):
        free(self.window)

    @property
    def top(self):
        """One more than the largest sequence number accepted."""
        return self.window.top

    def accept(self, const uint32_t[::1] seqs):
        """Takes u32[n] in order; gives Verdict u8[n]: OK and remembered, DROP_LINK_REPLAY or DROP_LINK_OLD."""
        verdicts = np.empty(seqs.shape[0], np.uint8)
        cdef uint8_t[::1] out = verdicts
        cdef Py_ssize_t i
        with nogil:
            for i in range(seqs.shape[0]):
                out[i] = fm_window_accept(self.window, seqs[i])
        return verdicts


cdef size_t packet_size_of(Py_ssize_t frame_size) except 0:
    if frame_size not in FRAME_SIZES:
        raise ValueError(f"rows have {frame_size} bytes: a frame has {' or '.join(map(str, sorted(FRAME_SIZES)))}")
    return frame_size - FM_FRAME_OVERHEAD


cdef void accept_all(fm_window *window, fm_opening *f, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        if f[i].verdict == FM_OK:
            f[i].verdict = fm_window_accept(window, <uint32_t>(f[i].counter >> 32))


def open_frames(const uint8_t[:, ::1] frames, roots, Window window=None, uint8_t[:, ::1] rows=None):
    """Verifies frames u8[n, F], row i under `roots[i]`; gives (Verdict u8[n], counters u64[n]), a counter being seq << 32 | step.

    With a window, sequence numbers are accepted in order. With rows u8[n, F], frames whose verdict is OK are decrypted into
    them: key_slot at byte 12, packet at byte 16; other rows stay as they are. Raises `ValueError` for wrong shapes.
    """
    cdef Py_ssize_t n = frames.shape[0], first, end
    cdef size_t packet_size = packet_size_of(frames.shape[1])
    cdef uint8_t[:, ::1] into = None
    if len(roots) != n or (rows is not None and (rows.shape[0] != n or rows.shape[1] != frames.shape[1])):
        raise ValueError(f"frames are {n} x {frames.shape[1]}: roots must be as many, and rows of that shape")
    verdicts, counters = np.empty(n, np.uint8), np.empty(n, np.uint64)
    for first in range(0, n, FM_BATCH_MAX):
        end = min(n, first + FM_BATCH_MAX)
        if rows is not None:
            into = rows[first:end]
        held = tuple(roots[first:end])  # alive while the GIL is away
        open_batch(frames[first:end], held, window, into, packet_size, verdicts[first:end], counters[first:end])
    return verdicts, counters


cdef int open_batch(const uint8_t[:, ::1] frames, tuple roots, Window window, uint8_t[:, ::1] rows, size_t packet_size,
                    uint8_t[::1] verdicts, uint64_t[::1] counters) except -1:
    cdef fm_opening batch[FM_BATCH_MAX]
    cdef Py_ssize_t i, n = frames.shape[0]
    for i in range(n):
        batch[i].frame = &frames[i, 0]
        batch[i].root = &(<Root?>roots[i]).keys
        batch[i].row = &rows[i, 0] if rows is not None else NULL
    with nogil:
        fm_link_verify(K, batch, n, packet_size)
        if window is not None:
            accept_all(window.window, batch, n)
        if rows is not None:
            fm_link_decrypt(K, batch, n, packet_size)
        for i in range(n):
            verdicts[i] = batch[i].verdict
            counters[i] = batch[i].counter
        fm_wipe(batch, sizeof(batch))
    return 0


def seal(uint8_t[:, ::1] rows, Root root not None, uint32_t receiver_index, uint32_t step, uint32_t first_seq):
    """Turns rows u8[n, F] (key_slot at byte 12, packet at byte 16) into frames, in place: one step, first_seq on in order.

    The caller never gives the same (step, seq) of a root twice, and keeps both below 2^31. Raises `ValueError` for wrong shapes.
    """
    cdef Py_ssize_t n = rows.shape[0], first, i, size
    cdef size_t packet_size = packet_size_of(rows.shape[1])
    cdef fm_sealing batch[FM_BATCH_MAX]
    cdef uint8_t batch_key[32]
    fm_batch_key(K, batch_key, root.keys.root, step)
    for first in range(0, n, FM_BATCH_MAX):
        size = min(n - first, FM_BATCH_MAX)
        for i in range(size):
            batch[i].row = &rows[first + i, 0]
            batch[i].root = &root.keys
            batch[i].batch_key = batch_key
            batch[i].receiver_index = receiver_index
            batch[i].counter = FM_COUNTER(step, <uint32_t>(first_seq + first + i))
        with nogil:
            fm_link_seal(K, batch, size, packet_size)
    fm_wipe(batch_key, sizeof(batch_key))
