"""Unwrapping, as ext/include/fm_sphinx.h has it."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastmix.kernels.fm_kernels cimport fm_kernels

cdef extern from "fm_sphinx.h" nogil:
    struct fm_columns:
        uint8_t *verdict
        uint16_t *action
        uint16_t *next_index
        double *delay
        uint8_t *peer_id
        uint8_t *surb_id
        uint8_t *tag

    struct fm_unwrap_scratch:
        pass

    struct fm_unwrap:
        uint8_t *packets
        size_t stride
        size_t payload_size
        const uint8_t *secret
        const uint8_t *replay_key
        uint8_t strict_kx
        fm_columns columns
        fm_unwrap_scratch *scratch

    void fm_unwrap_check(const fm_kernels *k, const fm_unwrap *u, const uint32_t *slots, size_t n)
    void fm_unwrap_apply(const fm_kernels *k, const fm_unwrap *u, const uint32_t *slots, size_t n)
    void fm_lioness_encrypt(const fm_kernels *k, uint8_t **blocks, const uint8_t **keys, size_t size, size_t n)
    void fm_lioness_decrypt(const fm_kernels *k, uint8_t **blocks, const uint8_t **keys, size_t size, size_t n)
    double fm_delay(const fm_kernels *k, const uint8_t *seed)
