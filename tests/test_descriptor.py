"""Descriptors: what was signed is read, anything else is refused by name; clients follow the slots that they list."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastmix.client.draw import Draw
from fastmix.client.node_keys import FixedKeys, SlotKeys
from fastmix.descriptor import Descriptor, identity_public, read_descriptor, write_descriptor
from fastmix.errors import ConfigError, CryptoError
from fastmix.keys.slots import SlotTimes
from fastmix.plan import NetworkPlan, plan_network

S = 1_000_000_000
SEED, OTHER = bytes(range(32)), bytes(range(1, 33))
TIMES = SlotTimes(10 * S, 2 * S, 8 * S)
ONE = Descriptor(3, TIMES, 1000, tuple(bytes([n]) * 32 for n in range(1, 6)), 20_000 * S)
NOW = 10_010 * S


def read(path: Path, seed: bytes = SEED, node: int = 3, now_ns: int = NOW) -> Descriptor:
    return read_descriptor(path, node, identity_public(seed), now_ns)


def test_what_was_signed_is_read(tmp_path: Path) -> None:
    write_descriptor(tmp_path / "deep" / "one", ONE, SEED)
    found = read(tmp_path / "deep" / "one")
    assert found == ONE
    assert [found.public(slot) for slot in (999, 1000, 1004, 1005)] == [None, bytes([1]) * 32, bytes([5]) * 32, None]


def test_each_byte_counts(tmp_path: Path) -> None:
    path = tmp_path / "one"
    write_descriptor(path, ONE, SEED)
    whole = path.read_bytes()
    for at in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CryptoError, match="has signed"):
            read(path)
        path.write_bytes(whole[:at])
        with pytest.raises(CryptoError, match="has signed"):
            read(path)


def test_whose_it_is_and_until_when(tmp_path: Path) -> None:
    path = tmp_path / "one"
    with pytest.raises(ConfigError, match="is the node running"):
        read(path)
    write_descriptor(path, ONE, SEED)
    with pytest.raises(CryptoError, match="identity of node 3 has signed"):
        read(path, OTHER)
    with pytest.raises(CryptoError, match="the descriptor of node 3, not of node 4"):
        read(path, node=4)
    with pytest.raises(CryptoError, match="is over"):
        read(path, now_ns=20_000 * S)


@pytest.fixture
def plan(tmp_path: Path) -> NetworkPlan:
    layers = [[(f"10.0.0.{layer}", 9)] for layer in (1, 2, 3)]
    return plan_network(layers, rotates=True, entropy=random.Random(1).randbytes).write(tmp_path / "network")


def publish(plan: NetworkPlan, first: int = 1000, times: SlotTimes = TIMES) -> None:
    for node in plan.network.nodes:
        publics = tuple(bytes([node.number, slot % 256]) * 16 for slot in range(first, first + 5))
        descriptor = Descriptor(node.number, times, first, publics, 20_000 * S)
        write_descriptor(plan.network.path.parent / node.descriptor, descriptor, plan.secrets[node.number])


def test_a_client_follows_the_slots(plan: NetworkPlan) -> None:
    """Never ahead of its clock, at most half the late grace behind it."""
    publish(plan)
    now = [10_013 * S]
    keys, draw = SlotKeys(plan.network, lambda: now[0]), Draw(random.Random(2).randbytes)
    slots = [keys.slot(draw) for _ in range(300)]
    assert set(slots) == {1000, 1001}
    assert keys.surb_slot() == 1001
    assert keys.publics(1001)[2].tobytes() == bytes([2, 1001 % 256]) * 16
    assert [keys.accepts(slot) for slot in (999, 1000, 1001, 1002)] == [False, True, True, False]
    assert keys.accepts_byte(1000 & 0xFF)
    assert not keys.accepts_byte(0)
    now[0] = 10_018 * S
    assert [keys.accepts(slot) for slot in (1000, 1001, 1002)] == [False, True, True]


def test_a_client_reads_again_what_was_published_anew(plan: NetworkPlan) -> None:
    publish(plan)
    now = [10_013 * S]
    keys, draw = SlotKeys(plan.network, lambda: now[0]), Draw(random.Random(2).randbytes)
    now[0] = 10_100 * S
    assert (keys.publics(1010)[0] != keys.publics(1010)[1]).any(), "unknown: keys that nobody has"
    publish(plan, 1008)
    now[0] += 2 * S
    keys.slot(draw)
    assert keys.publics(1010)[1].tobytes() == bytes([1, 1010 % 256]) * 16


def test_nodes_that_do_not_agree(plan: NetworkPlan) -> None:
    publish(plan)
    node = plan.network.node(1)
    path = plan.network.path.parent / node.descriptor
    write_descriptor(path, replace(ONE, node=1, times=SlotTimes(20 * S, S, 8 * S)), plan.secrets[1])
    with pytest.raises(ConfigError, match="slots of different lengths"):
        SlotKeys(plan.network, lambda: NOW)


def test_keys_without_an_end() -> None:
    fixed = FixedKeys(plan_network([[("10.0.0.1", 9)], [("10.0.0.2", 9)], [("10.0.0.3", 9)]]).network)
    assert fixed.slot(Draw()) == fixed.surb_slot() == 0
    assert fixed.accepts(0)
    assert not fixed.accepts(1)
    assert np.array_equal(fixed.publics(0)[1], np.frombuffer(fixed.network.node(1).sphinx_public, np.uint8))
