"""Building, as ext/include/fm_build.h has it."""

from libc.stdint cimport uint8_t, uint16_t

from fastmix.kernels.fm_kernels cimport fm_kernels

cdef extern from "fm_build.h" nogil:
    int FAULT_NON_CANONICAL "FM_FAULT_NON_CANONICAL"
    int FAULT_LOW_ORDER "FM_FAULT_LOW_ORDER"

    struct fm_route:
        size_t hops
        const uint8_t *publics
        const uint16_t *targets
        const uint8_t *peer_ids
        uint16_t last_action
        const uint8_t *ids
        const uint8_t *seed
        uint8_t *kx_publics
        uint8_t *faults

    struct fm_build_scratch:
        pass

    void fm_build_packets(const fm_kernels *k, const fm_route *route, const uint8_t *data, uint8_t *out, size_t stride,
                          size_t payload_size, fm_build_scratch *s, size_t n)
    void fm_build_surbs(const fm_kernels *k, const fm_route *route, const uint16_t *first, uint8_t *surbs, uint8_t *keys,
                        fm_build_scratch *s, size_t n)
    void fm_build_replies(const fm_kernels *k, const uint8_t *data, const uint8_t *surbs, uint8_t *out, size_t stride,
                          size_t payload_size, fm_build_scratch *s, size_t n)
    void fm_open_replies(const fm_kernels *k, uint8_t *payloads, const uint8_t *keys, size_t hops, uint8_t *ok,
                         size_t payload_size, size_t n)
    void fm_scalar_multiply(uint8_t *out, const uint8_t *a, const uint8_t *clamped)
    void fm_scalar_clamped(uint8_t *out, const uint8_t *a)
    void fm_keypairs(const fm_kernels *k, const uint8_t *seed, uint8_t *secrets, uint8_t *publics, size_t n)
