"""Unwrap against the mass oracle: random packets of each kind and geometry at every hop, and the same packets damaged."""

import random

import numpy as np
import oracle
import pytest
from journeys import KINDS, REPLAY_KEY, random_packets
from published import rows

from fastmix.kernels import _unwrap, isa
from fastmix.packet.geometry import GEOMETRIES, MAX_HOPS
from fastmix.packet.verdict import Verdict

PARTS = [(500, 0), *(pytest.param(1000, seed, marks=pytest.mark.long) for seed in range(1, 26))]
"""(packets of each of the four kinds, seed): 2,000 of each geometry, or 100,000 in portions that fit memory."""


def hold_to(got: dict, expected: list) -> None:
    """Every column and byte, all rows at once; a difference names column and row."""
    size = got["packets"].shape[1]
    wanted = {
        "verdict": np.array([each.verdict for each in expected]),
        "action": np.array([each.action for each in expected]),
        "next_index": np.array([each.next_index for each in expected]),
        "delay": np.array([each.delay for each in expected]),
        "peer_id": rows(*(each.peer_id for each in expected)),
        "surb_id": rows(*(each.surb_id for each in expected)),
        "tag": rows(*(each.tag for each in expected)),
        "packets": rows(*(each.packet.ljust(size, b"\0") for each in expected)),
    }
    assert set(wanted) == set(got)
    for column, values in wanted.items():
        differing = np.flatnonzero((got[column] != values).reshape(len(expected), -1).any(axis=1))
        assert not len(differing), f"{column} differs in rows {differing[:10].tolist()} of {len(expected)}"


@pytest.mark.parametrize("name", isa.supported())
@pytest.mark.parametrize(("n", "seed"), PARTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("geometry", ["wan", "jumbo"])
def test_random_packets_at_every_hop(geometry, kind, n, seed, name):
    made = random_packets(kind, n, geometry, seed)
    for hop in range(MAX_HOPS):
        packets, expected = zip(*made.at_hop(hop), strict=True)
        got = _unwrap.unwrap_batch(rows(*packets), made.secrets[hop], REPLAY_KEY, isa=name)
        assert not got["verdict"].any()
        hold_to(got, expected)


def damaged(packet: bytes, random_: random.Random) -> bytes:
    """One to three flipped bits, half of them in the header."""
    changed = bytearray(packet)
    for _ in range(random_.randint(1, 3)):
        at = random_.randrange(188 if random_.random() < 0.5 else len(packet))
        changed[at] ^= 1 << random_.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("name", isa.supported())
@pytest.mark.parametrize(("n", "seed"), PARTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("geometry", ["wan", "jumbo"])
def test_damaged_packets_have_the_same_verdicts(geometry, kind, n, seed, name):
    made, random_ = random_packets(kind, n, geometry, seed), random.Random(f"{geometry} {kind} {seed}")
    packets = [damaged(journey.packet, random_) for journey in made.journeys]
    expected = [oracle.unwrap(packet, made.secrets[0], GEOMETRIES[geometry], replay_key=REPLAY_KEY) for packet in packets]
    got = _unwrap.unwrap_batch(rows(*packets), made.secrets[0], REPLAY_KEY, isa=name)
    hold_to(got, expected)
    assert {Verdict.OK, Verdict.DROP_MAC} <= set(got["verdict"].tolist())
