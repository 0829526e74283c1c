"""Stages of the packet's road as things that can be timed: bound once, run without Python, measured in core cycles.

Time is CPU time of the thread; the core's frequency is what a chain of dependent multiplications tells right after the work
(ext/bench_meter.c), for 512-bit work slows the core down. A sample that another process interrupts loses only its caches.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t

import numpy as np

from fastmix.kernels.fm_kernels cimport fm_hash, fm_kernels

from fastmix.kernels.isa import kernels_named

cdef extern from "fm_bench.h":
    uint64_t fm_meter_cpu_ns() nogil
    double fm_meter_core_ghz() nogil

PRIMITIVES = ("x25519", "chacha20", "blake2b", "poly1305", "subgroup")
"""The functions of a table of kernels."""


def core_ghz():
    """The core's frequency now, in GHz; about 3 us."""
    cdef double ghz
    with nogil:
        ghz = fm_meter_core_ghz()
    return ghz


cdef class Stage:
    """Work on `n` items, done `repeats` times in one sample."""

    def __cinit__(self, *args, **more):
        self.repeats = 1
        self.isa = ""
        self.held = []

    cdef void prepare(self) noexcept nogil:
        pass

    cdef void run(self) noexcept nogil:
        pass

    def sample(self):
        """Runs it once: (ns of CPU time an item, GHz of the core right after)."""
        cdef double ghz
        cdef uint64_t began, ended
        cdef size_t i
        with nogil:
            self.prepare()
            began = fm_meter_cpu_ns()
            for i in range(self.repeats):
                self.run()
            ended = fm_meter_cpu_ns()
            ghz = fm_meter_core_ghz()
        return (ended - began) / (<double>self.n * self.repeats), ghz

    def repeat(self, repeats):
        """How often one sample does the work; for a stage that can be run again on what it left."""
        self.repeats = max(1, int(repeats))


cdef uintptr_t[::1] _lanes(rows):
    """The address of each row."""
    return rows.ctypes.data + rows.strides[0] * np.arange(len(rows), dtype=np.uintp)


cdef class Primitive(Stage):
    """One primitive of an instruction set over n lanes of random bytes; `size` is a message's (none for x25519 and subgroup)."""

    cdef const fm_kernels *kernels
    cdef int which
    cdef size_t size
    cdef fm_hash shared
    cdef uintptr_t[::1] out, key, message

    def __init__(self, name, isa, n, size=0):
        chosen = kernels_named(isa)
        if name not in PRIMITIVES:
            raise ValueError(f"{name!r} is not a primitive: use one of {', '.join(PRIMITIVES)}")
        if n < 1:
            raise ValueError(f"n is {n}: at least one lane is needed")
        self.kernels = <const fm_kernels *><uintptr_t>chosen.address
        self.isa, self.n, self.which, self.size = isa, n, PRIMITIVES.index(name), size
        draw = np.random.default_rng(n)
        out = np.zeros((n, max(size, 64)), np.uint8)
        keys, messages = draw.integers(0, 256, (n, 64), np.uint8), draw.integers(0, 256, (n, max(size, 32)), np.uint8)
        self.held = [out, keys, messages]
        self.out, self.key, self.message = _lanes(out), _lanes(keys), _lanes(messages)
        self.shared = fm_hash(64, 32, 0, NULL, size)

    cdef void run(self) noexcept nogil:
        cdef uint8_t **out = <uint8_t **>&self.out[0]
        cdef const uint8_t **key = <const uint8_t **>&self.key[0]
        cdef const uint8_t **message = <const uint8_t **>&self.message[0]
        if self.which == 0:
            self.kernels.x25519(out, key, message, self.n)
        elif self.which == 1:
            self.kernels.chacha20(out, message, key, NULL, NULL, self.size, self.n)
        elif self.which == 2:
            self.kernels.blake2b(&self.shared, out, key, message, self.n)
        elif self.which == 3:
            self.kernels.poly1305(out, key, message, self.size, self.n)
        else:
            self.kernels.subgroup(out[0], message, self.n)
