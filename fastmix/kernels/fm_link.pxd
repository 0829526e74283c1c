"""Link frames, as ext/include/fm_link.h has them."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastmix.kernels.fm_kernels cimport fm_kernels

cdef extern from "fm_link.h" nogil:
    enum: FM_BATCH_MAX
    enum: FM_FRAME_OVERHEAD
    enum: FM_OK
    struct fm_root:
        uint8_t root[32]
        uint8_t mask_key[32]
    struct fm_opening:
        const uint8_t *frame
        const fm_root *root
        uint8_t *row
        uint64_t counter
        uint8_t batch_key[32]
        uint8_t verdict
    struct fm_sealing:
        uint8_t *row
        const fm_root *root
        const uint8_t *batch_key
        uint32_t receiver_index
        uint64_t counter
    struct fm_window:
        uint64_t top
    uint64_t FM_COUNTER(uint32_t step, uint32_t seq)
    void fm_root_set(const fm_kernels *k, fm_root *out, const uint8_t *root)
    void fm_batch_key(const fm_kernels *k, uint8_t *out, const uint8_t *root, uint32_t step)
    void fm_link_verify(const fm_kernels *k, fm_opening *f, size_t n, size_t packet_size)
    void fm_link_decrypt(const fm_kernels *k, fm_opening *f, size_t n, size_t packet_size)
    void fm_link_seal(const fm_kernels *k, const fm_sealing *f, size_t n, size_t packet_size)
    uint8_t fm_window_accept(fm_window *w, uint32_t seq)
