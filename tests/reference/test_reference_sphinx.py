"""The Sphinx twins against themselves and the second oracle: random packets of each kind, and every way to be dropped."""

import random

import journeys
import oracle
import pytest

from fastmix.packet.geometry import GEOMETRIES, HEADER_SIZE, JUMBO, WAN, Action
from fastmix.packet.verdict import Verdict
from fastmix.reference import sphinx_build
from fastmix.reference.chacha20 import xor
from fastmix.reference.sphinx import actions_mac, hop_keys, keypair
from fastmix.reference.sphinx_unwrap import Unwrapped, open_reply, unwrap
from fastmix.reference.x25519 import x25519

LAST_ACTION = {
    "request": Action.DELIVER_REQUEST,
    "reply": Action.DELIVER_REPLY,
    "cover": Action.COVER,
    "cover_id": Action.COVER_ID,
}
SHAPES = [(g, hops, peer) for hops in range(1, 7) for g in ("wan", "jumbo") for peer in (False, True)]


def follow_twin(journey, secrets, geometry):
    """The packet through the twin; every hop must be what the oracle says."""
    expected = journeys.followed(journey, secrets, geometry)
    packet, steps = journey.packet, []
    for secret, step in zip(secrets, expected, strict=False):
        steps.append(unwrap(packet, secret, geometry, replay_key=journeys.REPLAY_KEY))
        assert steps[-1] == step
        packet = steps[-1].packet
    return steps


def check_route(journey, steps):
    """Every hop forwards to the next of the route; the last delivers what was put in."""
    assert len(steps) == journey.hops
    assert {step.verdict for step in steps} == {Verdict.OK}
    forwards = [(target, target, bytes(32)) for target in journey.targets]
    if journey.peer_id is not None:
        forwards.append((Action.FORWARD_PEER, 0, journey.peer_id))
    assert [(step.action, step.next_index, step.peer_id) for step in steps[:-1]] == forwards
    assert all(0 < step.delay <= 10 for step in steps[:-1])
    assert len({step.tag for step in steps}) == journey.hops
    check_end(journey, steps[-1])


def check_end(journey, last):
    assert last.action == LAST_ACTION[journey.kind]
    assert last.surb_id == (journey.ident if journey.kind in ("reply", "cover_id") else bytes(16))
    if journey.kind == "request":
        assert last.packet == journey.data + bytes(16)
    elif journey.kind == "reply":
        assert open_reply(last.packet, journey.surb_keys) == oracle.open_reply(last.packet, journey.surb_keys) == journey.data
    else:
        assert last.packet == b""


def check_random(builder, kind, numbers):
    """One packet a number, of all shapes in turn, built by `builder` and unwrapped by the twin."""
    for number in numbers:
        name, hops, peer = SHAPES[number % len(SHAPES)]
        random_ = random.Random(f"{builder.__name__} {kind} {number}")
        geometry = GEOMETRIES[name]
        pairs = [oracle.keypair(random_.randbytes(32)) for _ in range(hops)]
        journey = journeys.random_route(random_, kind, geometry, hops, peer)
        journeys.build(builder, journey, [public for _, public in pairs], geometry, random_)
        assert len(journey.packet) == geometry.packet_size
        check_route(journey, follow_twin(journey, [secret for secret, _ in pairs], geometry))


@pytest.mark.parametrize("kind", journeys.KINDS)
@pytest.mark.parametrize("builder", [sphinx_build, oracle], ids=["twin", "oracle"])
def test_random_packets(builder, kind):
    check_random(builder, kind, range(len(SHAPES)))


@pytest.mark.long
@pytest.mark.parametrize("kind", journeys.KINDS)
@pytest.mark.parametrize("builder", [sphinx_build, oracle], ids=["twin", "oracle"])
def test_300_random_packets(builder, kind):
    check_random(builder, kind, range(300))


@pytest.fixture(scope="module")
def journey():
    """A request of two hops and what is needed to unwrap it."""
    packets = journeys.random_packets("request", 1, hops=2, peer=False)
    return packets.journeys[0], packets.secrets


def both(packet, secret):
    result = unwrap(packet, secret)
    assert result == oracle.unwrap(packet, secret)
    return result


def test_bit_flips_in_every_header_byte_are_dropped(journey):
    packet, secret = journey[0].packet, journey[1][0]
    for at in range(HEADER_SIZE):
        flipped = packet[:at] + bytes([packet[at] ^ 1 << at % 8]) + packet[at + 1 :]
        result = both(flipped, secret)
        assert result == Unwrapped(Verdict.DROP_MAC) or (at == 31 and result.verdict == Verdict.DROP_KX_NON_CANONICAL)


def test_a_bit_flip_in_the_payload_is_seen_at_the_end(journey):
    packet = journey[0].packet
    for at in (HEADER_SIZE, 700, len(packet) - 1):
        flipped = packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :]
        first = both(flipped, journey[1][0])
        assert first.verdict == Verdict.OK
        assert both(first.packet, journey[1][1]) == Unwrapped(Verdict.DROP_PAYLOAD_TAG)


def test_a_changed_reply_is_not_opened():
    packets = journeys.random_packets("reply", 3, hops=3)
    for reply in packets.journeys:
        payload = reply.steps[-1].packet
        assert open_reply(payload[:-1] + bytes([payload[-1] ^ 1]), reply.surb_keys) is None


def test_the_wrong_secret_is_a_wrong_mac(journey):
    assert both(journey[0].packet, journey[1][1]) == Unwrapped(Verdict.DROP_MAC)


def test_every_low_order_point_is_dropped(journey, vectors):
    groups = vectors("wycheproof/x25519_test.json")["testGroups"]
    tests = [test for group in groups for test in group["tests"] if "ZeroSharedSecret" in test["flags"]]
    assert len(tests) == 31
    for test in tests:
        point = bytes.fromhex(test["public"])
        expected = Verdict.DROP_KX_LOW_ORDER if int.from_bytes(point, "little") < 2**255 - 19 else Verdict.DROP_KX_NON_CANONICAL
        assert both(point + journey[0].packet[32:], journey[1][0]) == Unwrapped(expected)


def test_another_encoding_of_the_same_point_is_dropped(journey):
    packet, secret = journey[0].packet, journey[1][0]
    for number in (2**255 - 19, 2**255 - 1, 2**255 + 9, int.from_bytes(packet[:32], "little") + 2**255):
        assert both(number.to_bytes(32, "little") + packet[32:], secret) == Unwrapped(Verdict.DROP_KX_NON_CANONICAL)


@pytest.mark.parametrize("code", [0xFF05, 0xFF06, 0xFFFF])
def test_an_unknown_action_is_dropped(journey, code):
    packet, secret = journey[0].packet, journey[1][0]
    keys = hop_keys(x25519(secret, packet[:32]))
    change = xor(code.to_bytes(2, "little"), journey[0].targets[0].to_bytes(2, "little"))
    actions = xor(packet[48:50], change) + packet[50:188]
    changed = packet[:32] + actions_mac(keys.mac_key, actions) + actions + packet[188:]
    assert both(changed, secret) == Unwrapped(Verdict.DROP_ACTION)


def test_damaged_packets_agree_with_the_oracle():
    random_ = random.Random(7)
    for kind in journeys.KINDS:
        packets = journeys.random_packets(kind, 6)
        for packet, _ in packets.at_hop(0):
            at = random_.choice([random_.randrange(HEADER_SIZE), random_.randrange(len(packet))])
            damaged = packet[:at] + random_.randbytes(1) + packet[at + 1 :]
            assert unwrap(damaged, packets.secrets[0]) == oracle.unwrap(damaged, packets.secrets[0])


def test_two_packets_of_the_same_contents_differ(journey):
    publics = [keypair(secret)[1] for secret in journey[1][:2]]
    first, second = (sphinx_build.build_request(journey[0].data, publics, [1]) for _ in range(2))
    assert all(a != b for a, b in ((first[:32], second[:32]), (first[48:188], second[48:188]), (first[188:], second[188:])))


PUBLICS = [keypair(bytes([number]) * 32)[1] for number in range(7)]
DATA = bytes(WAN.data_size)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: unwrap(bytes(1199), bytes(32)), "is 1200 bytes, not 1199"),
        (lambda: unwrap(bytes(1200), bytes(32), "lan"), "geometry 'lan' is not known"),
        (lambda: sphinx_build.build_request(DATA[1:], PUBLICS[:1], []), "data must be 996 bytes, not 995"),
        (lambda: sphinx_build.build_request(DATA, PUBLICS, [1] * 6), "1 to 6 hops.*has 7"),
        (lambda: sphinx_build.build_request(DATA, [], []), "1 to 6 hops.*has 0"),
        (lambda: sphinx_build.build_request(DATA, PUBLICS[:1], [], bytes(32)), "at least 2 with a peer id"),
        (lambda: sphinx_build.build_request(DATA, PUBLICS[:3], [1]), "needs 2 targets, not 1"),
        (lambda: sphinx_build.build_cover(PUBLICS[:2], [0xFF00]), "below 0xff00, not 0xff00"),
        (lambda: sphinx_build.build_cover(PUBLICS[:2], [1], id=bytes(15)), "id must be 16 bytes, not 15"),
        (lambda: sphinx_build.build_surb(PUBLICS[:2], [], 1, bytes(16), bytes(31)), "peer_id must be 32 bytes, not 31"),
        (lambda: sphinx_build.build_reply(DATA, bytes(221)), "surb must be 222 bytes, not 221"),
        (lambda: sphinx_build.build_reply(DATA, bytes(222), JUMBO), "data must be 2048 bytes, not 996"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
