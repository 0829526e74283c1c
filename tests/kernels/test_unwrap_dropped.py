"""Bad packets: each kind has its verdict, at each position of a batch, and no other row notices."""

import numpy as np
import pytest
from crafted import crafted, mixed_packets
from published import random_rows, rows

from fastmix.kernels import _unwrap, isa
from fastmix.packet.geometry import HEADER_SIZE, JUMBO, KX_PUBLIC_SIZE, MAC_AT, WAN, Action
from fastmix.packet.verdict import Verdict

SECRET, REPLAY_KEY = bytes(range(1, 33)), bytes(range(64, 96))
P = 2**255 - 19
ORDER_8 = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
LOW_ORDER = (0, 1, *ORDER_8, P - 1)
"""All canonical u-coordinates of order 1, 2, 4 and 8, of curve and twist."""


def encoded(number: int) -> np.ndarray:
    return np.frombuffer(number.to_bytes(32, "little"), np.uint8)


def with_kx(packet: np.ndarray, number: int) -> np.ndarray:
    changed = packet.copy()
    changed[:KX_PUBLIC_SIZE] = encoded(number)
    return changed


def flipped(packet: np.ndarray, at: int, bit: int = 0) -> np.ndarray:
    changed = packet.copy()
    changed[at] ^= 1 << bit
    return changed


def bad_rows(geometry) -> dict[str, tuple[np.ndarray, Verdict]]:
    """One of each badness: (packet, verdict)."""
    payload = random_rows(3, 1, geometry.data_size)[0].tobytes()
    good = rows(crafted(SECRET, b"\x05\x00", payload + bytes(16), 7))[0]
    tagged = crafted(SECRET, int(Action.DELIVER_REQUEST).to_bytes(2, "little"), payload + bytes(15) + b"\x01", 9)
    return {
        "top bit": (flipped(good, 31, 7), Verdict.DROP_KX_NON_CANONICAL),
        "p + 3": (with_kx(good, P + 3), Verdict.DROP_KX_NON_CANONICAL),
        "low order": (with_kx(good, ORDER_8[0]), Verdict.DROP_KX_LOW_ORDER),
        "mac": (flipped(good, MAC_AT + 15, 7), Verdict.DROP_MAC),
        "actions": (flipped(good, HEADER_SIZE - 1), Verdict.DROP_MAC),
        "other key": (rows(crafted(bytes(32), b"\x05\x00", payload + bytes(16), 7))[0], Verdict.DROP_MAC),
        "action 0xff05": (rows(crafted(SECRET, b"\x05\xff", payload + bytes(16), 11))[0], Verdict.DROP_ACTION),
        "action 0xffff": (rows(crafted(SECRET, b"\xff\xff", payload + bytes(16), 13))[0], Verdict.DROP_ACTION),
        "payload tag": (rows(tagged)[0], Verdict.DROP_PAYLOAD_TAG),
        "zeros": (np.zeros(geometry.packet_size, np.uint8), Verdict.DROP_KX_LOW_ORDER),
        "ones": (np.full(geometry.packet_size, 255, np.uint8), Verdict.DROP_KX_NON_CANONICAL),
    }


def verdicts(packets: np.ndarray, name: str = "portable") -> list[int]:
    return _unwrap.unwrap_batch(packets, SECRET, REPLAY_KEY, isa=name)["verdict"].tolist()


WHOLE_ALONE = pytest.param(WAN, 256, 256, marks=pytest.mark.long)


@pytest.mark.parametrize("name", isa.supported())
@pytest.mark.parametrize(
    ("geometry", "n", "apart"),
    [(WAN, 64, 64), (WAN, 256, 32), WHOLE_ALONE, (JUMBO, 9, 9)],
    ids=["wan", "wan-whole", "wan-whole-alone", "jumbo"],
)
def test_bad_packets_at_each_position(geometry, n, apart, name):
    """Bad ones so far `apart`: one in a batch where that is n. Around them nothing changes."""
    packets = mixed_packets(geometry, SECRET, n)
    good = _unwrap.unwrap_batch(packets, SECRET, REPLAY_KEY, isa=name)
    assert not good["verdict"].any()
    kinds = list(bad_rows(geometry).values())
    for first in range(apart):
        positions = list(range(first, n, apart))
        few = range(0, len(kinds), 5) if n <= 64 else [0]
        for turn in range(len(kinds)) if {0, n // 2, n - 1} & set(positions) else few:
            given, bad = packets.copy(), [kinds[(position + turn) % len(kinds)] for position in positions]
            given[positions] = [packet for packet, _ in bad]
            got = _unwrap.unwrap_batch(given, SECRET, REPLAY_KEY, isa=name)
            assert got["verdict"][positions].tolist() == [verdict for _, verdict in bad]
            for column, values in got.items():
                assert np.array_equal(np.delete(values, positions, 0), np.delete(good[column], positions, 0)), column
                assert column == "verdict" or not values[positions].any(), f"{column} of a dropped row"


@pytest.mark.parametrize("name", isa.supported())
def test_all_bad_at_once(name):
    kinds = bad_rows(WAN).values()
    given = np.array([bad for bad, _ in kinds] * 3)
    assert verdicts(given, name) == [verdict for _, verdict in kinds] * 3


@pytest.mark.parametrize("name", isa.supported())
def test_low_order_points(vectors, name):
    good = mixed_packets(WAN, SECRET, 1)[0]
    given = np.array([with_kx(good, number) for number in LOW_ORDER])
    assert verdicts(given, name) == [Verdict.DROP_KX_LOW_ORDER] * len(LOW_ORDER)
    tests = [test for group in vectors("wycheproof/x25519_test.json")["testGroups"] for test in group["tests"]]
    zero = [int.from_bytes(bytes.fromhex(test["public"]), "little") for test in tests if int(test["shared"], 16) == 0]
    assert len(zero) == 31
    expected = [Verdict.DROP_KX_LOW_ORDER if number < P else Verdict.DROP_KX_NON_CANONICAL for number in zero]
    assert verdicts(np.array([with_kx(good, number) for number in zero]), name) == expected


@pytest.mark.parametrize("name", isa.supported())
def test_every_non_canonical_encoding(name):
    """All 19 numbers from p to 2^255 - 1, and the top bit over small, middle and large ones, low order or not."""
    good = mixed_packets(WAN, SECRET, 1)[0]
    middle = int.from_bytes(good[:KX_PUBLIC_SIZE].tobytes(), "little")
    numbers = [*range(P, 2**255), *(2**255 + low for low in (*LOW_ORDER, 2, 9, middle, P - 2, P, 2**255 - 1))]
    got = verdicts(np.array([with_kx(good, number) for number in numbers]), name)
    assert got == [Verdict.DROP_KX_NON_CANONICAL] * len(numbers)
    canonical = [2, 9, 2**64 - 1, 2**64 - 19, 2**128 - 19, 2**192 - 19, 2**255 - 2**64 - 1, P - 2, P - 2**64, 2**254]
    assert verdicts(np.array([with_kx(good, number) for number in canonical]), name) == [Verdict.DROP_MAC] * len(canonical)


def test_a_flip_in_every_byte_of_the_header():
    good = mixed_packets(WAN, SECRET, 1)[0]
    given = np.array([flipped(good, at, at % 8) for at in range(HEADER_SIZE)])
    got = verdicts(given)
    assert set(got[MAC_AT:]) == {Verdict.DROP_MAC}
    assert set(got[:MAC_AT]) == {Verdict.DROP_MAC, Verdict.DROP_KX_NON_CANONICAL}
    assert got[31] == Verdict.DROP_KX_NON_CANONICAL, "byte 31 had its top bit flipped"


def test_a_flip_anywhere_in_the_payload_ruins_all_of_it():
    """The wide block: a forward goes on with a wholly other payload, a request is dropped by its tag."""
    data = random_rows(5, 1, WAN.data_size)[0].tobytes() + bytes(16)
    forward = rows(crafted(SECRET, b"\x05\x00", data, 21))[0]
    request = rows(crafted(SECRET, b"\x01\xff", data, 23))[0]
    places = [HEADER_SIZE, HEADER_SIZE + 31, HEADER_SIZE + 32, *range(HEADER_SIZE + 40, WAN.packet_size, 97), WAN.packet_size - 1]
    clean = _unwrap.unwrap_batch(forward[None], SECRET, REPLAY_KEY)["packets"][0]
    got = _unwrap.unwrap_batch(np.array([flipped(forward, at) for at in places]), SECRET, REPLAY_KEY)
    assert not got["verdict"].any()
    for changed in got["packets"]:
        assert np.array_equal(changed[:HEADER_SIZE], clean[:HEADER_SIZE])
        assert (changed[HEADER_SIZE:] == clean[HEADER_SIZE:]).mean() < 0.05
    assert verdicts(np.array([flipped(request, at) for at in places])) == [Verdict.DROP_PAYLOAD_TAG] * len(places)


def test_every_byte_of_the_payload_tag_counts():
    data = random_rows(5, 1, WAN.data_size)[0].tobytes()
    tags = [bytes(at) + b"\x80" + bytes(15 - at) for at in range(16)]
    given = rows(*(crafted(SECRET, b"\x01\xff", data + tag, 31) for tag in tags))
    assert verdicts(given) == [Verdict.DROP_PAYLOAD_TAG] * 16


def test_every_action_code_by_range():
    codes = [0, 1, 0xFEFE, 0xFEFF, *range(0xFF00, 0xFF08), 0xFF80, 0xFFFE, 0xFFFF]
    data = bytes(WAN.payload_size)
    given = rows(*(crafted(SECRET, code.to_bytes(2, "little"), data, 41 + code) for code in codes))
    got = _unwrap.unwrap_batch(given, SECRET, REPLAY_KEY)
    assert got["verdict"].tolist() == [Verdict.OK if code <= Action.COVER_ID else Verdict.DROP_ACTION for code in codes]
    assert got["action"].tolist() == [code if code <= Action.COVER_ID else 0 for code in codes]
    assert got["next_index"].tolist() == [code if code < Action.FORWARD_PEER else 0 for code in codes]
    assert (got["delay"] > 0).tolist() == [code <= Action.FORWARD_PEER for code in codes]
