"""What the modules of this package share: struct fm_io and the class over it."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "fm_geometry.h":
    enum: FM_BATCH_MAX

cdef extern from "fm_io.h":
    struct fm_address:
        uint8_t bytes[28]
        uint32_t size
    struct fm_received:
        const uint8_t *data
        uint32_t size
        const fm_address *from_ "from"
    struct fm_outgoing:
        const uint8_t *data
        uint32_t size
        int32_t result
        fm_address to
    ctypedef int (*fm_recv_fn)(void *context, fm_received *rows, uint32_t n) noexcept nogil
    ctypedef int (*fm_wait_fn)(void *context, int64_t wait_ns) noexcept nogil
    ctypedef int (*fm_send_fn)(void *context, fm_outgoing *rows, uint32_t n) noexcept nogil
    ctypedef uint32_t (*fm_kept_fn)(void *context) noexcept nogil
    struct fm_io:
        void *context
        fm_recv_fn recv
        fm_wait_fn wait
        fm_send_fn send
        fm_kept_fn kept

cdef int refuse_sizes(int row_size, int batch) except -1

cdef class DatagramIo:
    cdef fm_io io
    cdef readonly uint32_t row_size
    cdef readonly uint64_t ring_size
    cdef fm_received received[FM_BATCH_MAX]
    cdef fm_outgoing outgoing[FM_BATCH_MAX]
