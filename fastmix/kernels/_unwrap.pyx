"""Unwrapping batches of Sphinx packets: bound arrays in, verdicts and columns out, the GIL released.

Road: link open → **here** (check → replay set → apply) → pool. The node's worker calls the same two C functions itself, with
the replay set between them; `fastmix.sphinx.unwrap` and the tests come through here.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

import numpy as np

from fastmix.kernels.fm_kernels cimport fm_kernels, fm_wipe
from fastmix.kernels.fm_sphinx cimport (
    fm_columns, fm_delay, fm_lioness_decrypt, fm_lioness_encrypt, fm_unwrap,
    fm_unwrap_apply, fm_unwrap_check, fm_unwrap_scratch,
)

from fastmix.kernels import isa as _isa
from fastmix.packet.geometry import BATCH_MAX, HEADER_SIZE, PAYLOAD_KEY_SIZE, PAYLOAD_TAG_SIZE
from fastmix.packet.slots import SLOT_COLUMNS

COLUMNS = ("verdict", "action", "next_index", "delay", "peer_id", "surb_id", "tag")
"""The slot columns that unwrapping writes, of `fastmix.packet.slots.SLOT_COLUMNS`."""

cdef size_t CHUNK = BATCH_MAX


cdef const fm_kernels *_kernels(name) except NULL:
    chosen = _isa.active() if name is None else _isa.kernels_named(name)
    return <const fm_kernels *><uintptr_t>chosen.address


cdef _expect(name, array, dtype, tuple shape):
    """Raises `ValueError` unless the array is writable, C-contiguous and of that dtype and shape (None in it means any)."""
    right = isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == len(shape)
    if not right or False in [want is None or want == have for want, have in zip(shape, array.shape)]:
        have = f"{array.dtype}{list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        wanted = ", ".join(["any" if size is None else str(size) for size in shape])
        raise ValueError(f"{name} is {have}: expected {np.dtype(dtype)}[{wanted}]")
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise ValueError(f"{name} is not C-contiguous and writable: expected an array of its own, such as name.copy()")


def columns_for(n):
    """Zeroed columns for n slots: a dict of arrays, names as in `COLUMNS`."""
    columns = {}
    for name in COLUMNS:
        dtype, items, _meaning = SLOT_COLUMNS[name]
        columns[name] = np.zeros(n if items == 1 else (n, items), dtype)
    return columns


cdef class Unwrap:
    """Rows and columns of an arena, bound once; then `check` and `apply` on vectors of at most BATCH_MAX slot numbers.

    `rows` is u8[N, stride], the packet of slot s begins at rows[s, packet_at]; `columns` maps each name of `COLUMNS` to N items.
    `secret` and `replay_key` are 32 bytes each; they are copied, and wiped when the object goes. `strict_kx`: as in
    `fastmix.sphinx.unwrap`. `ValueError` on wrong shapes.
    """

    cdef const fm_kernels *kernels
    cdef fm_unwrap bound
    cdef uint8_t keys[64]
    cdef object arrays
    cdef size_t scratch_size

    def __cinit__(self):
        self.scratch_size = sizeof(fm_unwrap_scratch)
        self.bound.scratch = <fm_unwrap_scratch *>calloc(1, self.scratch_size)
        if self.bound.scratch == NULL:
            raise MemoryError(f"unwrap scratch of {self.scratch_size} bytes")

    def __init__(self, rows, columns, packet_size, const uint8_t[::1] secret not None, const uint8_t[::1] replay_key not None,
                 packet_at=0, isa=None, bint strict_kx=False):
        self.kernels = _kernels(isa)
        if secret.shape[0] != 32 or replay_key.shape[0] != 32:
            raise ValueError(f"secret has {secret.shape[0]} bytes, replay_key {replay_key.shape[0]}: expected 32 each")
        _expect("rows", rows, np.uint8, (None, None))
        if packet_size <= HEADER_SIZE + PAYLOAD_TAG_SIZE + 32 or packet_at < 0 or packet_at + packet_size > rows.shape[1]:
            raise ValueError(f"packet of {packet_size} bytes at {packet_at} does not fit a row of {rows.shape[1]} bytes")
        memcpy(&self.keys[0], &secret[0], 32)
        memcpy(&self.keys[32], &replay_key[0], 32)
        self.bound.strict_kx = strict_kx
        self._bind(rows, columns, packet_size, packet_at)

    cdef _bind(self, rows, columns, size_t packet_size, size_t packet_at):
        n = rows.shape[0]
        for name in COLUMNS:
            dtype, items, _meaning = SLOT_COLUMNS[name]
            _expect(f"column {name}", columns.get(name), dtype, (n,) if items == 1 else (n, items))
        at = {name: columns[name].ctypes.data for name in COLUMNS}
        self.arrays = (rows, [columns[name] for name in COLUMNS])
        self.bound.packets = <uint8_t *><uintptr_t>rows.ctypes.data + packet_at
        self.bound.stride = rows.shape[1]
        self.bound.payload_size = packet_size - HEADER_SIZE
        self.bound.secret = &self.keys[0]
        self.bound.replay_key = &self.keys[32]
        self.bound.columns = fm_columns(
            <uint8_t *><uintptr_t>at["verdict"], <uint16_t *><uintptr_t>at["action"], <uint16_t *><uintptr_t>at["next_index"],
            <double *><uintptr_t>at["delay"], <uint8_t *><uintptr_t>at["peer_id"], <uint8_t *><uintptr_t>at["surb_id"],
            <uint8_t *><uintptr_t>at["tag"])

    def __dealloc__(self):
        fm_wipe(&self.keys[0], sizeof(self.keys))
        if self.bound.scratch != NULL:
            fm_wipe(self.bound.scratch, self.scratch_size)
        free(self.bound.scratch)

    cdef _slots(self, slots):
        n = self.arrays[0].shape[0]
        if not isinstance(slots, np.ndarray) or slots.dtype != np.uint32 or slots.ndim != 1 or len(slots) > BATCH_MAX:
            raise ValueError(f"slots must be a uint32 vector of at most {BATCH_MAX}")
        if len(slots) and int(slots.max()) >= n:
            raise ValueError(f"slot {int(slots.max())} is out of range: there are {n} rows")
        if len(np.unique(slots)) != len(slots):
            raise ValueError("a slot is named twice: each may stand once in a batch")
        return np.append(slots, np.uint32(0))  # so that there is always a first

    def check(self, slots):
        """Verdict and replay tag of each slot: canonical kx_public, shared secret not zero, MAC, and the subgroup
        with `strict_kx`. `ValueError` on wrong slots."""
        cdef const uint32_t[::1] at = self._slots(slots)
        cdef size_t n = at.shape[0] - 1
        with nogil:
            fm_unwrap_check(self.kernels, &self.bound, &at[0], n)

    def apply(self, slots):
        """The rest, in place, for those of the same slots whose verdict is still OK; then wipes the scratch."""
        cdef const uint32_t[::1] at = self._slots(slots)
        cdef size_t n = at.shape[0] - 1
        with nogil:
            fm_unwrap_apply(self.kernels, &self.bound, &at[0], n)

    def scratch_is_wiped(self):
        """Whether the memory of derived keys is all zero, as it must be after `apply`."""
        cdef const uint8_t *bytes_ = <const uint8_t *>self.bound.scratch
        cdef uint8_t seen = 0
        cdef size_t i
        for i in range(self.scratch_size):
            seen |= bytes_[i]
        return seen == 0

    cdef void _all(self, size_t n) noexcept nogil:
        """Check and apply of slots 0..n-1, in chunks."""
        cdef uint32_t slots[256]
        cdef size_t start = 0, size, i
        while start < n:
            size = min(CHUNK, n - start)
            for i in range(size):
                slots[i] = <uint32_t>(start + i)
            fm_unwrap_check(self.kernels, &self.bound, slots, size)
            fm_unwrap_apply(self.kernels, &self.bound, slots, size)
            start += size


def unwrap_batch(packets, secret, replay_key, isa=None, strict_kx=False):
    """Unwraps u8[n,P] packets with one 32-byte secret -> dict of `COLUMNS` (n items each) and `packets` u8[n,P], a new array.

    No replay set is asked: `tag` is there for the caller's own. Rows with a bad verdict are zero elsewhere. Any n.
    `ValueError` on wrong shapes.
    """
    rows = np.array(packets, copy=True, order="C")
    _expect("packets", rows, np.uint8, (None, None))
    columns = columns_for(len(rows))
    cdef Unwrap unwrap = Unwrap(rows, columns, rows.shape[1], secret, replay_key, 0, isa, strict_kx)
    cdef size_t n = len(rows)
    with nogil:
        unwrap._all(n)
    bad = columns["verdict"] != 0
    columns["packets"] = rows
    for name, array in columns.items():
        if name != "verdict":
            array[bad] = 0
    return columns


cdef _lioness(blocks, keys, isa, encrypting):
    """Copies of the blocks, each encrypted or decrypted under its key, in chunks of BATCH_MAX."""
    out = np.array(blocks, copy=True, order="C")
    secrets = np.array(keys, copy=True, order="C")
    _expect("keys", secrets, np.uint8, (None, PAYLOAD_KEY_SIZE))
    _expect("blocks", out, np.uint8, (len(secrets), None))
    if out.shape[1] <= 32:
        raise ValueError(f"blocks have {out.shape[1]} bytes: expected more than 32")
    cdef const fm_kernels *kernels = _kernels(isa)
    cdef uintptr_t[::1] block = out.ctypes.data + out.strides[0] * np.arange(len(out) + 1, dtype=np.uintp)
    cdef uintptr_t[::1] key = secrets.ctypes.data + secrets.strides[0] * np.arange(len(out) + 1, dtype=np.uintp)
    cdef size_t n = len(out), start = 0, part, size = out.shape[1]
    cdef bint forward = encrypting
    with nogil:
        while start < n:
            part = min(CHUNK, n - start)
            if forward:
                fm_lioness_encrypt(kernels, <uint8_t **>&block[start], <const uint8_t **>&key[start], size, part)
            else:
                fm_lioness_decrypt(kernels, <uint8_t **>&block[start], <const uint8_t **>&key[start], size, part)
            start += part
    return out


def lioness_encrypt(blocks, keys, isa=None):
    """LIONESS of u8[n,m] blocks (m > 32) under u8[n,192] keys -> u8[n,m], a new array. `ValueError` on wrong shapes."""
    return _lioness(blocks, keys, isa, True)


def lioness_decrypt(blocks, keys, isa=None):
    """The inverse of `lioness_encrypt`."""
    return _lioness(blocks, keys, isa, False)


def delays(seeds, isa=None):
    """Delays f8[n], mean 1, at most 10, of u8[n,16] seeds. `ValueError` on wrong shapes."""
    rows = np.array(seeds, copy=True, order="C")
    _expect("seeds", rows, np.uint8, (None, 16))
    result = np.zeros(len(rows))
    cdef const fm_kernels *kernels = _kernels(isa)
    cdef const uint8_t[:, ::1] seed = rows
    cdef double[::1] out = result
    cdef Py_ssize_t i
    with nogil:
        for i in range(out.shape[0]):
            out[i] = fm_delay(kernels, &seed[i, 0])
    return result
