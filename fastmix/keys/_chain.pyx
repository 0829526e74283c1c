"""The forward-secure chain of mix keys, and memory for other secrets. The Python face of `ext/keychain.c` and `ext/locked.c`.

What is secret lies in locked, undumped pages that a forked child sees as zeros; none of it becomes a Python `bytes` here.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, strerror

import resource

import numpy as np

from fastmix.errors import CryptoError, ResourceExhausted
from fastmix.kernels.fm_kernels cimport fm_kernels, fm_wipe

from fastmix.kernels.isa import active

cdef extern from "fm_keychain.h" nogil:
    enum: FM_CHAIN_ID_SIZE
    enum: FM_CHAIN_SEALED_SIZE
    enum: FM_CHAIN_AAD_MAX
    enum: FM_CHAIN_SKIP_MAX
    struct fm_chain:
        uint32_t is_live
        uint8_t id[16]
        uint64_t slot
        uint8_t state[32]
    void *fm_locked_take(size_t size)
    void fm_locked_give(void *area, size_t size)
    int fm_random(uint8_t *out, size_t size)
    void fm_chain_begin(fm_chain *c, uint64_t slot, const uint8_t *state, const uint8_t *id)
    void fm_chain_secret(const fm_kernels *k, fm_chain *c, uint8_t *out)
    void fm_chain_advance(const fm_kernels *k, fm_chain *c, uint64_t n)
    void fm_chain_publics(const fm_kernels *k, fm_chain *c, uint8_t *publics, size_t n)
    void fm_chain_seal(const fm_kernels *k, fm_chain *c, uint8_t *sealed, const uint8_t *key, const uint8_t *nonce,
                       const uint8_t *aad, size_t aad_size)
    int fm_chain_open(const fm_kernels *k, fm_chain *c, const uint8_t *sealed, const uint8_t *key, const uint8_t *nonce,
                      const uint8_t *aad, size_t aad_size)
    void fm_chain_wipe(fm_chain *c)
    void fm_key_public(const fm_kernels *k, uint8_t *public, const uint8_t *secret)


cdef const fm_kernels *K = <const fm_kernels *><uintptr_t>active().address

SEALED_SIZE = FM_CHAIN_SEALED_SIZE
SKIP_MAX = FM_CHAIN_SKIP_MAX

cdef enum: HEAD = 64  # before the bytes of a LockedBytes: a byte that is 1 until they are wiped


cdef void *take(size_t size) except NULL:
    cdef void *area = fm_locked_take(size)
    if area == NULL:
        why = strerror(errno).decode()
        limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
        allowed = "no limit" if limit == resource.RLIM_INFINITY else f"{limit} bytes"
        raise ResourceExhausted(
            f"cannot lock memory for keys: {why}; the limit on locked memory (RLIMIT_MEMLOCK) is {allowed}: raise it with "
            "`ulimit -l`, or LimitMEMLOCK= in the unit, or give the process CAP_IPC_LOCK"
        )
    return area


cdef int draw(uint8_t *out, size_t size) except -1:
    if fm_random(out, size) != 0:
        raise OSError(errno, f"the kernel gave no random bytes: {strerror(errno).decode()}")
    return 0


cdef _sized(name, got, expected):
    if got != expected:
        raise ValueError(f"{name} has {got} bytes, not {expected}")


cdef class LockedBytes:
    """`size` bytes of locked memory, zeros at first: never swapped, dumped or inherited; wiped by `wipe`, `with`, and at the end.

    It is a writable buffer: `os.preadv`, NumPy and `memoryview` take it as it is. After `wipe`, and in a forked child, it gives
    no view any more, and views that there are see zeros. `ResourceExhausted` where the limit on locked memory is too small.
    """

    cdef uint8_t *area
    cdef size_t size

    def __cinit__(self, size):
        if size <= 0:
            raise ValueError(f"size = {size}: locked memory has 1 byte or more")
        self.size = size
        self.area = <uint8_t *>take(HEAD + self.size)
        self.area[0] = 1

    def __dealloc__(self):
        if self.area != NULL:
            fm_locked_give(self.area, HEAD + self.size)

    def __len__(self):
        return self.size

    def __repr__(self):
        return f"<LockedBytes of {self.size}>"

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if not self.area[0]:
            raise ValueError("this secret has been wiped")
        PyBuffer_FillInfo(buffer, self, self.area + HEAD, self.size, 0, flags)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wipe()

    @property
    def view(self):
        """The bytes, writable; `ValueError` once they are wiped."""
        return memoryview(self)

    @property
    def is_live(self):
        """False once wiped, and in a forked child."""
        return self.area[0] != 0

    def fill_random(self):
        """Fills it from the kernel's generator; gives itself."""
        if not self.area[0]:
            raise ValueError("this secret has been wiped")
        draw(self.area + HEAD, self.size)
        return self

    def wipe(self):
        """Overwrites the bytes. Views of them stay valid and see zeros."""
        fm_wipe(self.area, HEAD + self.size)


cdef class Chain:
    """The chain of a node's mix keys, at one slot: it gives that slot's secret and those of later ones, never of earlier ones.

    Made by `fresh`, `open` or `copy`. `ValueError` from every use after `wipe`, and in a forked child.
    """

    cdef fm_chain *c

    def __cinit__(self):
        self.c = <fm_chain *>take(sizeof(fm_chain))

    def __dealloc__(self):
        if self.c != NULL:
            fm_locked_give(self.c, sizeof(fm_chain))

    def __repr__(self):
        return f"<Chain at slot {self.c.slot}>" if self.c.is_live else "<Chain, wiped>"

    cdef fm_chain *live(self) except NULL:
        if not self.c.is_live:
            raise ValueError("this chain has been wiped, or belongs to the process that forked this one")
        return self.c

    @staticmethod
    def fresh(first_slot, const uint8_t[::1] seed=None):
        """A new chain whose first secret is that of `first_slot`: 48 random bytes of the kernel, or `seed` (state 32, id 16)."""
        if not 0 <= first_slot < 1 << 63:
            raise ValueError(f"first_slot = {first_slot} is not the number of a slot")
        cdef Chain chain = Chain.__new__(Chain)
        if seed is None:
            draw(chain.c.state, 32)
            draw(chain.c.id, FM_CHAIN_ID_SIZE)
        else:
            _sized("seed", seed.shape[0], 32 + FM_CHAIN_ID_SIZE)
        fm_chain_begin(chain.c, first_slot, &seed[0] if seed is not None else chain.c.state,
                       &seed[32] if seed is not None else chain.c.id)
        return chain

    def copy(self):
        """Another chain at the same slot, in memory of its own."""
        cdef fm_chain *c = self.live()
        cdef Chain chain = Chain.__new__(Chain)
        memcpy(chain.c, c, sizeof(fm_chain))
        return chain

    @property
    def is_live(self):
        """False once wiped, and in a forked child."""
        return self.c.is_live != 0

    @property
    def slot(self):
        """The slot whose secret is next."""
        return self.live().slot

    @property
    def id(self):
        """16 random bytes, public: the same along the chain, another for each chain."""
        return (<const uint8_t *>self.live().id)[:FM_CHAIN_ID_SIZE]

    def publics(self, n):
        """The X25519 publics of the next n slots, u8[n, 32], batched; the chain stays where it is, and nothing secret is kept."""
        cdef fm_chain *c = self.live()
        if not 0 <= n <= FM_CHAIN_SKIP_MAX:
            raise ValueError(f"n = {n}: publics of 0 to {FM_CHAIN_SKIP_MAX} slots can be had")
        out = np.zeros((n, 32), np.uint8)
        cdef uint8_t[:, ::1] rows = out
        cdef size_t count = n
        if count:
            with nogil:
                fm_chain_publics(K, c, &rows[0, 0], count)
        return out

    def take(self, uint8_t[::1] into not None):
        """Writes the secret of `slot` into 32 bytes of the caller's, and advances past it."""
        cdef fm_chain *c = self.live()
        _sized("into", into.shape[0], 32)
        fm_chain_secret(K, c, &into[0])
        fm_chain_advance(K, c, 1)

    def skip_to(self, slot):
        """Advances to `slot`, whose secret is then next: those before it are gone. `ValueError` backwards, or too far ahead."""
        cdef fm_chain *c = self.live()
        if not c.slot <= slot <= c.slot + FM_CHAIN_SKIP_MAX:
            raise ValueError(f"slot {slot}: the chain is at {c.slot}, and goes at most {FM_CHAIN_SKIP_MAX} slots ahead at once")
        cdef uint64_t n = slot - c.slot
        with nogil:
            fm_chain_advance(K, c, n)

    def seal(self, const uint8_t[::1] key not None, const uint8_t[::1] nonce not None, const uint8_t[::1] aad not None=b""):
        """The chain as `SEALED_SIZE` bytes under a key (32) and a nonce (12) that it is never used with again: id 16, slot u64,
        state encrypted with ChaCha20-Poly1305 (RFC 8439), tag 16. Id, slot and `aad` (64 bytes at most) are authenticated."""
        cdef fm_chain *c = self.live()
        cdef uint8_t sealed[FM_CHAIN_SEALED_SIZE]
        _check_keys(key, nonce, aad)
        fm_chain_seal(K, c, sealed, &key[0], &nonce[0], &aad[0] if aad.shape[0] else NULL, aad.shape[0])
        return (<const uint8_t *>sealed)[:FM_CHAIN_SEALED_SIZE]

    @staticmethod
    def open(const uint8_t[::1] sealed not None, const uint8_t[::1] key not None, const uint8_t[::1] nonce not None,
             const uint8_t[::1] aad not None=b""):
        """The chain that `seal` has written. `CryptoError` where a byte of anything differs."""
        cdef Chain chain = Chain.__new__(Chain)
        _check_keys(key, nonce, aad)
        if sealed.shape[0] != FM_CHAIN_SEALED_SIZE:
            raise CryptoError(f"a sealed chain has {FM_CHAIN_SEALED_SIZE} bytes, not {sealed.shape[0]}")
        if not fm_chain_open(K, chain.c, &sealed[0], &key[0], &nonce[0], &aad[0] if aad.shape[0] else NULL, aad.shape[0]):
            raise CryptoError("the sealed chain is damaged, or sealed under another key")
        return chain

    def wipe(self):
        """Overwrites the chain: no secret can be had from it any more."""
        fm_chain_wipe(self.c)


cdef _check_keys(const uint8_t[::1] key, const uint8_t[::1] nonce, const uint8_t[::1] aad):
    _sized("key", key.shape[0], 32)
    _sized("nonce", nonce.shape[0], 12)
    if aad.shape[0] > FM_CHAIN_AAD_MAX:
        raise ValueError(f"aad has {aad.shape[0]} bytes, at most {FM_CHAIN_AAD_MAX}")


def public_of(const uint8_t[::1] secret not None):
    """The X25519 public of a secret (32), which is read where it lies; 32 bytes."""
    cdef uint8_t public[32]
    _sized("secret", secret.shape[0], 32)
    fm_key_public(K, public, &secret[0])
    return (<const uint8_t *>public)[:32]
