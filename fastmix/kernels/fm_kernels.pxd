"""The table of primitives, as ext/include/fm_kernels.h has it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "fm_kernels.h" nogil:
    struct fm_hash:
        uint8_t out_size
        uint8_t key_size
        uint64_t salt
        const uint8_t *personal
        size_t message_size

    struct fm_kernels:
        const char *isa
        void (*x25519)(uint8_t **out, const uint8_t **scalar, const uint8_t **point, size_t n) noexcept nogil
        void (*subgroup)(uint8_t *inside, const uint8_t **point, size_t n) noexcept nogil
        void (*chacha20)(uint8_t **out, const uint8_t **data, const uint8_t **key, const uint8_t **nonce,
                         const uint32_t *counter, size_t size, size_t n) noexcept nogil
        void (*poly1305)(uint8_t **tag, const uint8_t **key, const uint8_t **message, size_t size, size_t n) noexcept nogil
        void (*blake2b)(const fm_hash *shared, uint8_t **out, const uint8_t **key, const uint8_t **message,
                        size_t n) noexcept nogil

    enum: FM_ISA_COUNT
    size_t fm_kernels_supported(const fm_kernels **tables)
    int fm_equal(const uint8_t *a, const uint8_t *b, size_t size)
    void fm_wipe(void *secret, size_t size)
