"""Shared memory: anonymous files (memfd) that processes map, divided into named arrays.

A region has no name in any file system: when the last process that holds it ends, it is gone.
"""

import ctypes
import mmap
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.packet.geometry import Geometry
from fastmix.packet.slots import SLOT_COLUMNS
from fastmix.seam.counters import COUNTER_PAGES
from fastmix.seam.layout import COMMAND, LINK_STATE, LINKS_MAX, SNAPSHOT
from fastmix.seam.originate import COVER

MIXING_BLOB_SIZE = 65536
MIXING_ERROR_SIZE = 1024
SINK_ROWS = 256
MADV_DONTFORK = 10
MADV_DONTDUMP = 16

MIXING = np.dtype(
    [
        ("generation", "<u8"),
        ("applied", "<u8"),
        ("asked", "<u4"),
        ("good", "<u4"),
        ("size", "<u4", 2),
        ("error_size", "<u4"),
        ("reserved", "<u4"),
        ("blob", "u1", (2, MIXING_BLOB_SIZE)),
        ("error", "u1", MIXING_ERROR_SIZE),
    ]
)
"""Two halves for pickled strategies: `good` is the half in force, `asked` the one that request number `generation` has filled.
So a refused request, or one half written, is never what the next process starts with. `applied`: the last request answered."""
PROCESS_WORDS = np.dtype(
    [
        ("started_ns", "<i8"),
        ("last_batch_ns", "<i8"),
        ("adopted", "<u8"),
        ("ready", "<u4"),
        ("drained", "<u4"),
        ("data_pid", "<i4"),
        ("control_pid", "<i4"),
        ("ended", "<u4"),
        ("unwraps_per_s", "<u4"),
        ("restarts", "<u8"),
        ("isa", "S16"),
        ("io", "S8"),
        ("policy", "<i8", (2, 3)),
        ("policy_at", "<u4"),
        ("farewell", "<u4"),
        ("leave", "<u4"),
    ]
)
"""`started_ns`: steady clock, when the parent began; `last_batch_ns`: wall clock, when packets left last; `adopted`: generation
of the snapshot that all threads of the data plane use, so that the copy before may be written; `drained`: the data plane says
that it has sent its last packet; `ended`: the parent says that there is none any more; `unwraps_per_s`: what one core can do with
the kernels of `isa`, as the parent has measured it at the start; `restarts`: data planes that the parent has started again; `io`:
how datagrams move; `policy`: the rotation policy that was set since the start (interval and overlap in ns, backup keys), in the
half `policy_at` - 1; 0: none was; `farewell`: control would tell the network before the node drains; `leave`: it is to do so,
and drain then."""
ASKED_MAX = 1024
KEPT = np.dtype(
    [("state", "<u4"), ("asked_size", "<u4"), ("audit_key", "u1", 32), ("seed", "u1", 32), ("asked", "u1", ASKED_MAX)]
)
"""What a control leaves to the next one. `state` (0: nothing yet) says which of the keys is there; `asked`: the passphrase or PIN
that somebody was asked for, as long as it is needed."""
ROOT_ID = np.dtype(("u1", 32))
SINK_WORDS = np.dtype([("head", "<u8"), ("tail", "<u8")])

Sections = list[tuple[str, np.dtype[Any], int]]


def page_sections() -> Sections:
    """Everything small that both planes see: counters, commands, link states and whose they are, the words of the sink,
    the node's own packets on their way between control and mixer."""
    return [
        ("counters", COUNTER_PAGES, 1),
        ("command", COMMAND, 1),
        ("process", PROCESS_WORDS, 1),
        ("sink", SINK_WORDS, 1),
        ("cover", COVER, 1),
        ("mixing", MIXING, 1),
        ("links", LINK_STATE, LINKS_MAX),
        ("root_ids", ROOT_ID, LINKS_MAX),
    ]


def arena_sections(geometry: Geometry, capacity: int) -> Sections:
    """The rows of packets, the slot columns, the sink's rows. Only the data plane maps them."""
    columns = [(name, np.dtype(dtype), capacity * items) for name, (dtype, items, _) in SLOT_COLUMNS.items()]
    return [
        ("rows", np.dtype(np.uint8), capacity * geometry.row_stride),
        *columns,
        ("sink_rows", np.dtype(np.uint8), SINK_ROWS * geometry.payload_size),
    ]


def secret_sections() -> Sections:
    """Keys and link roots. Control writes, the data plane reads."""
    return [("snapshot", SNAPSHOT, 1)]


def kept_sections() -> Sections:
    """What opens the node's identity. Only control maps it; the parent holds the descriptor for the next control."""
    return [("kept", KEPT, 1)]


def _offsets(sections: Sections) -> tuple[list[int], int]:
    offsets, at = [], 0
    for _, dtype, count in sections:
        offsets.append(at)
        at += -(-dtype.itemsize * count // 64) * 64
    return offsets, -(-at // mmap.PAGESIZE) * mmap.PAGESIZE


class Region:
    """One mapped memfd; `region["name"]` is the array of that section. Closing it needs no views left alive: processes just
    end."""

    def __init__(self, fd: int, sections: Sections) -> None:
        offsets, self.size = _offsets(sections)
        self.fd = fd
        self.map = mmap.mmap(fd, self.size)
        self._views = {
            name: np.frombuffer(self.map, dtype, count, offset)
            for (name, dtype, count), offset in zip(sections, offsets, strict=True)
        }

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._views[name]

    def bytes(self, name: str) -> memoryview:
        """The memory of one section."""
        return self._views[name].view(np.uint8).data

    def keep_private(self) -> None:
        """Keeps the memory out of swap, core dumps and forked children, as `keep_private` does."""
        keep_private(np.frombuffer(self.map, np.uint8))


def keep_private(area: npt.NDArray[np.uint8]) -> None:
    """Keeps whole pages out of swap, core dumps and forked children. `OSError` where the lock limit is too small."""
    libc = ctypes.CDLL(None, use_errno=True)
    address, size = ctypes.c_void_p(area.ctypes.data), ctypes.c_size_t(area.nbytes)
    for name, result in (
        ("mlock", libc.mlock(address, size)),
        ("madvise DONTDUMP", libc.madvise(address, size, MADV_DONTDUMP)),
        ("madvise DONTFORK", libc.madvise(address, size, MADV_DONTFORK)),
    ):
        if result != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"{name} of {area.nbytes} bytes: {os.strerror(error)} (raise the memlock limit: ulimit -l)")


def ask_mixing(page: Region, blob: bytes) -> int:
    """Hands a pickled (strategy, limits) to the data plane, one at a time; returns the request's number.

    `ValueError` if it is too large, or the one before has not been answered: its half is still being read.
    """
    if page["mixing"]["applied"][0] != page["mixing"]["generation"][0]:
        raise ValueError("the data plane has not yet answered the request before: see its log, and ask again later")
    if len(blob) > MIXING_BLOB_SIZE:
        raise ValueError(f"the pickled strategy has {len(blob)} bytes; at most {MIXING_BLOB_SIZE} fit")
    mixing = page["mixing"]
    half = 1 - int(mixing["good"][0])
    mixing["blob"][0, half, : len(blob)] = np.frombuffer(blob, np.uint8)
    mixing["size"][0, half] = len(blob)
    mixing["asked"] = half
    mixing["generation"] += 1
    return int(mixing["generation"][0])


def set_mixing(page: Region, blob: bytes) -> None:
    """Writes what the first data plane starts with. `ValueError` as `ask_mixing`."""
    ask_mixing(page, blob)
    mixing = page["mixing"]
    mixing["good"], mixing["applied"] = mixing["asked"], mixing["generation"]


def create_memory(name: str, sections: Sections) -> int:
    """A new memfd with room for the sections, all zero. Returns its descriptor; nothing is mapped."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(fd, _offsets(sections)[1])
    return fd
