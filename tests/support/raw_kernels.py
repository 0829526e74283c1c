"""The tables of primitives as C sees them: calls by address, so that rows may lie anywhere, overlap, or end where memory ends."""

import ctypes
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from fastmix.kernels import _native

Rows = npt.NDArray[np.uint8]
POINTER, SIZE = ctypes.c_void_p, ctypes.c_size_t


class Hash(ctypes.Structure):
    """`struct fm_hash`."""

    _fields_ = [
        ("out_size", ctypes.c_uint8),
        ("key_size", ctypes.c_uint8),
        ("salt", ctypes.c_uint64),
        ("personal", POINTER),
        ("message_size", SIZE),
    ]


class Table(ctypes.Structure):
    """`struct fm_kernels`."""

    _fields_ = [
        ("isa", ctypes.c_char_p),
        ("x25519", ctypes.CFUNCTYPE(None, POINTER, POINTER, POINTER, SIZE)),
        ("subgroup", ctypes.CFUNCTYPE(None, POINTER, POINTER, SIZE)),
        ("chacha20", ctypes.CFUNCTYPE(None, *[POINTER] * 5, SIZE, SIZE)),
        ("poly1305", ctypes.CFUNCTYPE(None, POINTER, POINTER, POINTER, SIZE, SIZE)),
        ("blake2b", ctypes.CFUNCTYPE(None, *[POINTER] * 4, SIZE)),
    ]


def table(isa: str) -> Table:
    return Table.from_address(_native.kernels_address(isa))


def lanes(addresses: Sequence[int]) -> ctypes.Array:
    """An array of pointers."""
    return (POINTER * max(1, len(addresses)))(*addresses)


def row_addresses(rows: Rows) -> list[int]:
    return [rows.ctypes.data + i * rows.strides[0] for i in range(len(rows))]


def scattered(rows: Rows, spare: int) -> tuple[Rows, list[int]]:
    """A copy of the rows at odd distances in a larger array of 0x5A, and the address of each: every alignment is met."""
    n, size = rows.shape
    stride = size + spare
    memory = np.full(n * stride + spare, 0x5A, np.uint8)
    starts = [i * stride + i % spare for i in range(n)]
    for start, row in zip(starts, rows, strict=True):
        memory[start : start + size] = row
    return memory, [memory.ctypes.data + start for start in starts]


def gathered(memory: Rows, addresses: Sequence[int], size: int) -> Rows:
    """The rows that `scattered` laid out, taken out and replaced by 0x5A: what is left must be all 0x5A."""
    starts = [address - memory.ctypes.data for address in addresses]
    rows = np.array([memory[start : start + size] for start in starts], np.uint8).reshape(len(starts), size)
    for start in starts:
        memory[start : start + size] = 0x5A
    return rows


@contextmanager
def fenced(size: int) -> Iterator[Rows]:
    """`size` bytes that end where memory ends: the page behind them is not readable."""
    page = mmap.PAGESIZE
    whole = -(-size // page) * page
    memory = mmap.mmap(-1, whole + page)
    view = np.frombuffer(memory, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    fence = POINTER(view.ctypes.data + whole)
    assert libc.mprotect(fence, SIZE(page), 0) == 0
    try:
        yield view[whole - size : whole]
    finally:
        assert libc.mprotect(fence, SIZE(page), mmap.PROT_READ | mmap.PROT_WRITE) == 0
