"""The base class of all stages, for the other Cython modules of this package."""

cdef class Stage:
    cdef readonly size_t n
    cdef readonly size_t repeats
    cdef readonly str isa
    cdef list held
    cdef void prepare(self) noexcept nogil
    cdef void run(self) noexcept nogil
