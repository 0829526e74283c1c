"""The replay set: which replay tags a mix key has seen. The Python face of `ext/replay.c`.

Road: receive → open → unwrap (check) → **here** → unwrap (apply) → pool
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t

import numpy as np

cdef extern from "fm_replay.h":
    enum: FM_REPLAY_LINE
    struct fm_replay:
        uint32_t *lines
        uint64_t line_count
    void fm_replay_insert(const fm_replay *r, const uint8_t *tags, uint8_t *verdict, const uint32_t *slots, size_t n) nogil

LINE_SIZE = FM_REPLAY_LINE * sizeof(uint32_t)


cdef class ReplaySet:
    """Sixteen 32-bit fingerprints a line of 64 bytes, over memory of the caller; several threads and processes may share it.

    A new tag is refused as a replay with probability about (entries in its line) / 2^32, so at most 2^-28 on a line not full.
    """

    cdef fm_replay table
    cdef object memory

    def __cinit__(self, uint32_t[::1] lines not None):
        """Takes u32[16 k], k >= 1, 64-byte aligned, zero when the key is new; `ValueError` otherwise."""
        if lines.shape[0] == 0 or lines.shape[0] % FM_REPLAY_LINE:
            raise ValueError(f"a replay set has {lines.shape[0]} entries: it must have a multiple of {FM_REPLAY_LINE}")
        if <uintptr_t>&lines[0] % LINE_SIZE:
            raise ValueError(f"a replay set must begin at a multiple of {LINE_SIZE} bytes")
        self.memory = lines
        self.table.lines = &lines[0]
        self.table.line_count = lines.shape[0] // FM_REPLAY_LINE

    @property
    def address(self):
        """Address of the struct fm_replay, valid as long as this object lives."""
        return <uintptr_t>&self.table

    def insert(self, const uint8_t[:, ::1] tags, uint8_t[::1] verdicts, const uint32_t[::1] slots):
        """For each slot with verdict OK: remembers tags[slot] (u8[n, 16]), or sets DROP_REPLAY or DROP_REPLAY_FULL.

        verdicts u8[n] is changed in place. Without the GIL. Raises `ValueError` for shapes that do not fit together.
        """
        if tags.shape[1] != 16 or verdicts.shape[0] != tags.shape[0]:
            raise ValueError(f"tags are {tags.shape[0]} x {tags.shape[1]}, verdicts {verdicts.shape[0]}: expected n x 16 and n")
        if slots.shape[0] == 0:
            return
        if np.max(slots) >= tags.shape[0]:
            raise ValueError(f"slot {np.max(slots)} is outside of {tags.shape[0]} tags")
        with nogil:
            fm_replay_insert(&self.table, &tags[0, 0], &verdicts[0], &slots[0], slots.shape[0])
