"""The only module that links the primitives: their tables, the C side's constants, and thin faces for tests.

Road: **here** → unwrap, build, link frames, which get the table's address from `fastmix.kernels.isa`.

The faces take C-contiguous uint8 arrays, one row a lane, and any number of rows. They release the GIL. All primitives are
constant time in keys and contents (the C files say how). At import each table is tried on published answers and against the
portable one.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t

import numpy as np

from fastmix.kernels.fm_kernels cimport FM_ISA_COUNT, fm_equal, fm_hash, fm_kernels, fm_kernels_supported

cdef extern from "fm_geometry.h":
    int FM_KX_PUBLIC_SIZE, FM_MAC_SIZE, FM_ACTIONS_SIZE, FM_MAC_AT, FM_ACTIONS_AT, FM_HEADER_SIZE, FM_PAYLOAD_TAG_SIZE
    int FM_MAX_HOPS, FM_ACTIONS_PAD_MAX, FM_PEER_ID_SIZE, FM_SURB_ID_SIZE, FM_TAG_SIZE, FM_PAYLOAD_KEY_SIZE, FM_SURB_SIZE
    int FM_WAN_DATA_SIZE, FM_JUMBO_DATA_SIZE, FM_WAN_PACKET_SIZE, FM_JUMBO_PACKET_SIZE
    int FM_FRAME_INDEX_AT, FM_FRAME_COUNTER_AT, FM_FRAME_SEALED_AT, FM_FRAME_PACKET_AT, FM_FRAME_TAG_SIZE
    int FM_FRAME_OVERHEAD, FM_WINDOW_SIZE, FM_BATCH_MAX

cdef extern from "fm_link.h":
    unsigned int FM_COUNTER_END

cdef extern from "fm_sphinx.h":
    int FM_ACTION_FORWARD_PEER, FM_ACTION_DELIVER_REQUEST, FM_ACTION_DELIVER_REPLY, FM_ACTION_COVER, FM_ACTION_COVER_ID

cdef extern from *:
    """
    #include "fm_verdict.h"
    #define FM_VERDICT_NAME(name) #name,
    static const char *const fm_verdict_names[] = {FM_VERDICTS(FM_VERDICT_NAME)};
    """
    const char *fm_verdict_names[]
    int FM_VERDICT_COUNT


cdef dict _tables():
    """Address of each table that this build has and this CPU runs, by its name."""
    cdef const fm_kernels *tables[FM_ISA_COUNT]
    cdef size_t n = fm_kernels_supported(tables)
    return {tables[i].isa.decode(): <uintptr_t>tables[i] for i in range(n)}


cdef dict TABLES = _tables()


def available():
    """Names of the instruction sets that this build has and this CPU runs."""
    return frozenset(TABLES)


def kernels_address(isa="portable"):
    """Address of the static `struct fm_kernels` of an instruction set; `ValueError` names those that there are."""
    if isa not in TABLES:
        raise ValueError(f"instruction set {isa!r} is not available here: there is {', '.join(sorted(TABLES))}")
    return TABLES[isa]


def constants():
    """What the C headers say: sizes by their names without FM_, `VERDICTS` (names in order), `ACTIONS` (name: code)."""
    return _sizes() | {
        "VERDICTS": tuple(fm_verdict_names[i].decode() for i in range(FM_VERDICT_COUNT)),
        "ACTIONS": {
            "FORWARD_PEER": FM_ACTION_FORWARD_PEER, "DELIVER_REQUEST": FM_ACTION_DELIVER_REQUEST,
            "DELIVER_REPLY": FM_ACTION_DELIVER_REPLY, "COVER": FM_ACTION_COVER, "COVER_ID": FM_ACTION_COVER_ID,
        },
    }


cdef dict _sizes():
    return {
        "KX_PUBLIC_SIZE": FM_KX_PUBLIC_SIZE, "MAC_SIZE": FM_MAC_SIZE, "ACTIONS_SIZE": FM_ACTIONS_SIZE, "MAC_AT": FM_MAC_AT,
        "ACTIONS_AT": FM_ACTIONS_AT, "HEADER_SIZE": FM_HEADER_SIZE, "PAYLOAD_TAG_SIZE": FM_PAYLOAD_TAG_SIZE,
        "MAX_HOPS": FM_MAX_HOPS, "ACTIONS_PAD_MAX": FM_ACTIONS_PAD_MAX, "PEER_ID_SIZE": FM_PEER_ID_SIZE,
        "SURB_ID_SIZE": FM_SURB_ID_SIZE, "TAG_SIZE": FM_TAG_SIZE, "PAYLOAD_KEY_SIZE": FM_PAYLOAD_KEY_SIZE,
        "SURB_SIZE": FM_SURB_SIZE, "FRAME_INDEX_AT": FM_FRAME_INDEX_AT, "FRAME_COUNTER_AT": FM_FRAME_COUNTER_AT,
        "FRAME_SEALED_AT": FM_FRAME_SEALED_AT, "FRAME_PACKET_AT": FM_FRAME_PACKET_AT, "FRAME_TAG_SIZE": FM_FRAME_TAG_SIZE,
        "FRAME_OVERHEAD": FM_FRAME_OVERHEAD, "WINDOW_SIZE": FM_WINDOW_SIZE, "BATCH_MAX": FM_BATCH_MAX,
        "COUNTER_END": FM_COUNTER_END, "WAN_DATA_SIZE": FM_WAN_DATA_SIZE, "JUMBO_DATA_SIZE": FM_JUMBO_DATA_SIZE,
        "WAN_PACKET_SIZE": FM_WAN_PACKET_SIZE, "JUMBO_PACKET_SIZE": FM_JUMBO_PACKET_SIZE,
    }


cdef const fm_kernels *_table(isa) except NULL:
    return <const fm_kernels *><uintptr_t>kernels_address(isa)


cdef _rows(name, array, n, width):
    """The array, C-contiguous, if it is uint8[n, width]; `None` for either means any."""
    rows = np.asarray(array)
    if rows.dtype != np.uint8 or rows.ndim != 2 or n not in (None, rows.shape[0]) or width not in (None, rows.shape[1]):
        expected = f"uint8[{'n' if n is None else n}, {'any' if width is None else width}]"
        raise ValueError(f"{name} is {rows.dtype}{list(rows.shape)}: expected {expected}")
    return np.ascontiguousarray(rows)


cdef uintptr_t[::1] _lanes(rows):
    """The address of each row, and one more so that there is always a first; valid while the array lives."""
    return rows.ctypes.data + rows.strides[0] * np.arange(len(rows) + 1, dtype=np.uintp)


def x25519(scalars, points, isa="portable"):
    """RFC 7748, lane by lane: u8[n,32] scalars (clamped inside) times u8[n,32] points -> u8[n,32]; zeros are not judged."""
    cdef const fm_kernels *table = _table(isa)
    scalars = _rows("scalars", scalars, None, 32)
    points = _rows("points", points, len(scalars), 32)
    result = np.zeros((len(scalars), 32), np.uint8)
    cdef uintptr_t[::1] out = _lanes(result), k = _lanes(scalars), u = _lanes(points)
    cdef size_t n = len(scalars)
    with nogil:
        table.x25519(<uint8_t **>&out[0], <const uint8_t **>&k[0], <const uint8_t **>&u[0], n)
    return result


def subgroup(points, isa="portable"):
    """Which of u8[n,32] u-coordinates are of points of prime order on Curve25519 -> u8[n], 1 or 0. Not in constant time."""
    cdef const fm_kernels *table = _table(isa)
    points = _rows("points", points, None, 32)
    result = np.zeros(len(points) + 1, np.uint8)
    cdef uint8_t[::1] inside = result
    cdef uintptr_t[::1] u = _lanes(points)
    cdef size_t n = len(points)
    with nogil:
        table.subgroup(&inside[0], <const uint8_t **>&u[0], n)
    return result[:n]


def chacha20(keys, data, nonces=None, counters=None, isa="portable"):
    """RFC 8439: u8[n,m] data XOR keystream of u8[n,32] keys, u8[n,12] nonces, u32[n] block counters (None: zeros)."""
    cdef const fm_kernels *table = _table(isa)
    keys = _rows("keys", keys, None, 32)
    data = _rows("data", data, len(keys), None)
    result = np.zeros_like(data)
    cdef uintptr_t[::1] out = _lanes(result), text = _lanes(data), key = _lanes(keys), nonce = None
    cdef const uint32_t[::1] counter = None
    cdef size_t n = len(keys), size = data.shape[1]
    cdef const uint8_t **nonce_lanes = NULL
    cdef const uint32_t *counter_lanes = NULL
    if nonces is not None:
        nonces = _rows("nonces", nonces, n, 12)
        nonce = _lanes(nonces)
        nonce_lanes = <const uint8_t **>&nonce[0]
    if counters is not None:
        counter = counters
        if len(counters) != len(keys):
            raise ValueError(f"counters has {len(counters)} items: expected uint32[{len(keys)}]")
        counter_lanes = &counter[0]
    with nogil:
        table.chacha20(<uint8_t **>&out[0], <const uint8_t **>&text[0], <const uint8_t **>&key[0], nonce_lanes,
                       counter_lanes, size, n)
    return result


def poly1305(keys, messages, isa="portable"):
    """RFC 8439: one-time u8[n,32] keys over u8[n,m] messages -> tags u8[n,16]."""
    cdef const fm_kernels *table = _table(isa)
    keys = _rows("keys", keys, None, 32)
    messages = _rows("messages", messages, len(keys), None)
    result = np.zeros((len(keys), 16), np.uint8)
    cdef uintptr_t[::1] out = _lanes(result), key = _lanes(keys), message = _lanes(messages)
    cdef size_t n = len(keys), size = messages.shape[1]
    with nogil:
        table.poly1305(<uint8_t **>&out[0], <const uint8_t **>&key[0], <const uint8_t **>&message[0], size, n)
    return result


def blake2b(messages, out_size=64, keys=None, salt=0, personal=None, isa="portable"):
    """RFC 7693 over u8[n,m] messages -> u8[n,out_size]; keys u8[n,0..64] or None; salt is a u64, little endian in the field."""
    cdef const fm_kernels *table = _table(isa)
    cdef const uint8_t[::1] label = bytes(16) if personal is None else personal
    messages = _rows("messages", messages, None, None)
    keys = _rows("keys", np.zeros((len(messages), 0), np.uint8) if keys is None else keys, len(messages), None)
    if not 1 <= out_size <= 64 or keys.shape[1] > 64 or label.shape[0] != 16:
        raise ValueError(f"out_size {out_size}, key size {keys.shape[1]}: expected 1..64, 0..64, personal of 16")
    cdef fm_hash shared = fm_hash(out_size, keys.shape[1], salt, &label[0], messages.shape[1])
    result = np.zeros((len(messages), out_size), np.uint8)
    cdef uintptr_t[::1] out = _lanes(result), key = _lanes(keys), message = _lanes(messages)
    cdef size_t n = len(messages)
    with nogil:
        table.blake2b(&shared, <uint8_t **>&out[0], <const uint8_t **>&key[0], <const uint8_t **>&message[0], n)
    return result


def equal(const uint8_t[::1] a not None, const uint8_t[::1] b not None):
    """Whether two byte strings are equal, in time that depends on the first one's size only. Different sizes: `ValueError`."""
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"sizes differ: {a.shape[0]} and {b.shape[0]}")
    return a.shape[0] == 0 or bool(fm_equal(&a[0], &b[0], a.shape[0]))


cdef _bytes(text, n):
    """n equal rows of the bytes that the hexadecimal text names."""
    return np.tile(np.frombuffer(bytes.fromhex(text), np.uint8), (n, 1))


cdef tuple _siblings():
    """Seven times the base point of X25519, that plus each point of order 2, 4 and 8, one of the twist; and which are members."""
    points = np.concatenate([_bytes(u, 1) for u in (
        "281884e00fae8a337505bf38152a97c0204a8c1d4cfa2d2b129980ede732af0d",
        "e55c5448bf7c276fb1dc6544585a90a8b1acfa2497f3d8f0289f14a58913735e",
        "82c61201dd6451b9786b89cfaeb7fd36bdfac15315c188f3d3033294f686127e",
        "7a2b4480a597d23402a14dd09c6b9ed8e8afd678042655ef74e50ec88179cd24",
        "25a36c3925e7542374de88d4f6dafd492cb6b5e13cc68ced8001bd90f09a7963",
        "6c5e725ea9f55f79c32a0445c581cc9912866f0a626c8b0d226763e0bbad4347",
        "c79a595e80fc606b6a1063b513e8abbba595775d5fedd6125e4d722177d1c404",
        "3e7dc430f39232cc7ee927a573332417fd3bba3c86af4d2f90c6b9748216d34d",
        "02" + "00" * 31)])
    return np.concatenate([points, points[::-1]]), np.array([1] + 16 * [0] + [1], np.uint8)


cdef dict _known(isa):
    """By primitive: what a table answers in nine lanes, and what is published."""
    n = 9
    points, members = _siblings()
    return {
        "subgroup": (subgroup(points, isa), members),
        "x25519": (x25519(_bytes("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", n),
                          _bytes("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", n), isa),
                   _bytes("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552", n)),
        "chacha20": (chacha20(_bytes("00" * 32, n), _bytes("00" * 32, n), None, None, isa),
                     _bytes("76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7", n)),
        "poly1305": (poly1305(_bytes("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b", n),
                              _bytes(b"Cryptographic Forum Research Group".hex(), n), isa),
                     _bytes("a8061dc1305136c6c22b8baf0c0127a9", n)),
        "blake2b": (blake2b(_bytes("616263", n), 64, None, 0, None, isa),
                    _bytes("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                           "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923", n)),
    }


cdef dict _several_rows(isa):
    """By primitive: what a table and the portable one answer on seventeen rows, all different, that are many blocks long."""
    rows = (np.arange(17 * 1100) % 251).astype(np.uint8).reshape(17, 1100)
    keys = np.ascontiguousarray(rows[:, 5:37])
    points = np.ascontiguousarray(rows[:, 40:72])
    return {
        "x25519": tuple(x25519(keys, points, name) for name in (isa, "portable")),
        "chacha20": tuple(chacha20(keys, rows, None, None, name) for name in (isa, "portable")),
        "poly1305": tuple(poly1305(keys, rows, name) for name in (isa, "portable")),
        "blake2b": tuple(blake2b(rows, 32, keys, 1, None, name) for name in (isa, "portable")),
    }


def self_test(isa):
    """Tries a table on published answers and against the portable one; `ImportError` names the primitive that is wrong."""
    for tried in (_known(isa), _several_rows(isa)):
        for name, (got, expected) in tried.items():
            if not np.array_equal(got, expected):
                raise ImportError(f"kernel self-test failed: {name} of {isa} is wrong on this machine; do not use this build")


for _isa in TABLES:
    self_test(_isa)
