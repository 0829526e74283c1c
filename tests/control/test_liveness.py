"""One node's rules of failure detection: what it asks, what it believes, and what no peer can make it believe."""

import random
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmix.control.liveness import (
    CLAIMS_MAX,
    GOSSIP_MAX,
    PING_S,
    RELAYED_S,
    RELAYS,
    ROUND_S,
    STEP_MAX_S,
    SUSPICION_S,
    TICK_S,
    Action,
    Claim,
    Gossip,
    Liveness,
    Ping,
    Relay,
)
from fastmix.errors import CryptoError

ME, X, Y = b"m" * 32, b"x" * 32, b"y" * 32
OTHERS = [bytes([i]) * 32 for i in range(8)]


class Node:
    """A node whose peers are the test, which answers pings of all but the silent ones."""

    def __init__(self, *peers: bytes) -> None:
        self.now = 100.0
        self.liveness = Liveness(ME, self.now, random.Random(1).random)
        self.liveness.set_peers(peers)
        self.done: list[Action] = []

    def run(self, seconds: float, silent: tuple[bytes, ...] = (), relays_say: bool = False) -> list[Action]:
        done: list[Action] = []
        for _ in range(round(seconds / TICK_S)):
            self.now += TICK_S
            for action in self.liveness.due(self.now):
                done.append(action)
                if isinstance(action, Ping) and action.peer not in silent:
                    self.liveness.answered(action.peer, self.now)
                elif isinstance(action, Relay):
                    word = self.liveness.answered if relays_say else self.liveness.failed
                    word(action.peer, self.now, action.relay)
        return done

    def state(self, identity: bytes = X) -> str:
        return self.liveness.state(identity)

    def tell(self, source: bytes, *claims: Claim, incarnation: int = 0) -> None:
        self.liveness.told(msgspec.msgpack.encode(Gossip(incarnation, claims)), source, self.now)

    def said(self, to: bytes | None = None) -> Gossip:
        return msgspec.msgpack.decode(self.liveness.gossip(to), type=Gossip)


def test_each_is_pinged_once_a_round_in_an_order_that_was_drawn() -> None:
    node = Node(*OTHERS)
    rounds = [[action.peer for action in node.run(ROUND_S)] for _ in range(6)]
    everyone = [peer for order in rounds for peer in order]
    assert everyone[:8] != OTHERS
    assert everyone[:40] == everyone[:8] * 5
    assert set(everyone[:8]) == set(OTHERS)


def test_who_comes_and_goes_leaves_the_turns_of_others() -> None:
    for seed in range(20):
        draw = random.Random(seed)
        node, kept, pinged = Node(X, Y, *OTHERS), [X, Y], dict.fromkeys((X, Y), 100.0)
        for _ in range(60):
            for action in node.run(TICK_S):
                pinged[action.peer] = node.now
            assert node.now - min(pinged[X], pinged[Y]) < 4 * ROUND_S
            node.liveness.set_peers([*kept, *draw.sample(OTHERS, draw.randrange(8))])


def test_a_big_network_is_pinged_no_more_than_32_times_a_second() -> None:
    node = Node(*(random.Random(i).randbytes(32) for i in range(1000)))
    assert len(node.run(10.0)) == pytest.approx(320, abs=5)


def test_silence_relays_suspicion_death_and_back() -> None:
    node = Node(X, *OTHERS)
    done = node.run(ROUND_S + PING_S + 2 * TICK_S, (X,))
    relays = [action.relay for action in done if isinstance(action, Relay)]
    assert len(relays[:RELAYS]) == len(set(relays[:RELAYS])) == RELAYS
    assert node.state() == "suspect"
    assert node.said(X).claims[0] == Claim(X, "suspect", 0)
    node.run(SUSPICION_S + 2 * TICK_S, (X,))
    assert (node.state(), node.liveness.dead(node.now)) == ("dead", {X})
    assert Claim(X, "dead", 0) in node.said().claims
    assert any(action == Ping(X) for action in node.run(ROUND_S + TICK_S, (X,)))
    node.run(ROUND_S + TICK_S)
    assert (node.state(), node.liveness.dead(node.now)) == ("alive", set())


def test_one_of_three_relays_is_not_believed_and_two_are() -> None:
    for n_yes, state in ((1, "suspect"), (2, "alive")):
        node, relays = Node(X, *OTHERS), []
        while not relays:
            node.now += TICK_S
            for action in node.liveness.due(node.now):
                if isinstance(action, Relay):
                    relays.append(action.relay)
                elif action.peer != X:
                    node.liveness.answered(action.peer, node.now)
        for at, relay in enumerate(relays):
            (node.liveness.answered if at < n_yes else node.liveness.failed)(X, node.now, relay)
            node.liveness.answered(X, node.now, next(each for each in OTHERS if each not in relays))  # nobody has asked it
        for _ in range(3):
            node.now += TICK_S
            node.liveness.due(node.now)
        assert node.state() == state


def test_a_failure_that_is_known_waits_for_nothing() -> None:
    node = Node(X, Y)
    while Ping(X) not in node.liveness.due(node.now):
        node.now += 0.001
    node.liveness.failed(X, node.now)
    assert node.liveness.due(node.now) == [Relay(Y, X)]
    node.liveness.failed(X, node.now)  # of the ping before
    assert node.liveness.due(node.now) == []
    node.liveness.failed(X, node.now, Y)
    assert node.state() == "alive"
    node.liveness.due(node.now)
    assert node.state() == "suspect"


def test_two_nodes_have_no_relays() -> None:
    node = Node(X)
    node.run(ROUND_S + PING_S + 2 * TICK_S, (X,))
    assert node.state() == "suspect"


def test_time_in_which_it_did_not_run_is_nobodys_silence() -> None:
    node = Node(X, *OTHERS)
    while Ping(X) not in node.liveness.due(node.now):
        node.now += 0.001
    node.now += 1000.0
    node.liveness.due(node.now)
    assert node.state() == "alive"
    node.now -= 500.0  # nor does it go backwards
    node.liveness.due(node.now)
    assert node.state() == "alive"
    assert STEP_MAX_S < PING_S + RELAYED_S


def test_what_others_say_makes_suspects_only_and_a_ping() -> None:
    node = Node(X, Y, *OTHERS)
    node.run(ROUND_S * 2)
    for state in ("suspect", "dead"):
        node.tell(Y, Claim(X, state, 0))
        assert node.state() == "suspect"
        assert Ping(X) in node.liveness.due(node.now)
        node.liveness.answered(X, node.now)
        assert node.state() == "alive"


def test_claims_of_an_incarnation_that_is_over_are_nothing() -> None:
    node = Node(X, Y)
    node.tell(X, incarnation=5)
    node.tell(Y, Claim(X, "suspect", 4))
    assert node.state() == "alive"
    node.tell(Y, Claim(X, "suspect", 5))
    assert node.state() == "suspect"
    node.tell(Y, Claim(X, "alive", 5))
    assert node.state() == "suspect"
    node.tell(Y, Claim(X, "alive", 6))
    assert node.state() == "alive"
    node.tell(Y, Claim(X, "suspect", 5))
    assert node.state() == "alive"


def test_nobody_comes_back_by_hearsay() -> None:
    node = Node(X, Y, *OTHERS)
    node.run(4.0, (X,))
    assert node.state() == "dead"
    for incarnation in range(1, 100):
        node.tell(Y, Claim(X, "alive", incarnation))
        node.tell(Y, Claim(X, "suspect", incarnation))
    assert node.state() == "dead"
    node.tell(X)
    assert node.state() == "alive"


def test_a_liar_can_not_keep_a_dead_node_alive() -> None:
    """It says under ever higher numbers that the node lives."""
    node, began = Node(X, Y, *OTHERS), 0.0
    for incarnation in range(60):
        node.run(TICK_S, (X,))
        node.tell(Y, Claim(X, "alive", incarnation))
        began += TICK_S
        if node.state() == "dead":
            break
    assert began < 4.0


def test_a_wrong_suspicion_is_refuted_under_a_higher_number() -> None:
    node = Node(X, Y)
    node.tell(Y, Claim(ME, "suspect", 0))
    assert node.said().incarnation == 1
    node.tell(Y, Claim(ME, "dead", 0), Claim(ME, "alive", 1))
    assert node.said().incarnation == 1
    node.tell(Y, Claim(ME, "dead", 41))
    assert node.said().incarnation == 42
    node.tell(Y, Claim(ME, "dead", 1 << 62))
    assert node.said().incarnation == 1 << 62


def test_news_is_passed_on_some_times_and_then_no_more() -> None:
    node = Node(X, Y, *OTHERS)
    node.tell(X, incarnation=3)
    told = [Claim(X, "alive", 3) in node.said(Y).claims for _ in range(100)]
    assert 5 < sum(told) < 30
    assert all(told[: sum(told)])


def test_a_message_has_an_end() -> None:
    peers = [random.Random(i).randbytes(32) for i in range(500)]
    node = Node(*peers)
    for at in range(0, 500, CLAIMS_MAX):
        node.tell(peers[0], *(Claim(peer, "suspect", (1 << 62) - 1) for peer in peers[at : at + CLAIMS_MAX]))
    sizes = [len(node.liveness.gossip(peers[1])) for _ in range(20)]
    assert max(sizes) <= GOSSIP_MAX
    assert len({claim.identity for _ in range(40) for claim in node.said().claims}) > 400
    assert len(node.liveness.due(node.now + TICK_S)) < 30


def test_who_is_no_peer() -> None:
    node = Node(X, Y)
    node.tell(b"z" * 32, Claim(X, "suspect", 7))
    node.tell(Y, Claim(b"z" * 32, "suspect", 7))
    node.liveness.heard(b"z" * 32, node.now)
    node.liveness.failed(b"z" * 32, node.now)
    assert (node.state(X), node.state(b"z" * 32)) == ("alive", "dead")
    node.tell(Y, Claim(X, "suspect", 0))
    node.liveness.set_peers([Y, ME])
    assert node.state(X) == "dead"
    assert node.liveness.dead(node.now) == set()
    assert {action.peer for action in node.run(3.0)} == {Y}
    node.liveness.set_peers([Y, X])
    assert node.state(X) == "alive"
    node.liveness.set_peers([])
    assert node.run(3.0) == []
    node.liveness.set_peers([X])
    assert len(node.run(ROUND_S)) in (1, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        bytes(GOSSIP_MAX + 1),
        msgspec.msgpack.encode([-1, []]),
        msgspec.msgpack.encode([0, [[b"short", "dead", 0]]]),
        msgspec.msgpack.encode([0, [[X, "late", 0]]]),
        msgspec.msgpack.encode([0, [[X, "dead", 1 << 63]]]),
        msgspec.msgpack.encode([0, [[X, "dead", 0]] * (CLAIMS_MAX + 1)]),
        msgspec.msgpack.encode([0, [], 1]),
    ],
)
def test_what_is_no_gossip(data: bytes) -> None:
    node = Node(X, Y)
    with pytest.raises(CryptoError, match="gossip"):
        node.liveness.told(data, Y, node.now)
    assert node.state() == "alive"


@given(st.binary(max_size=200))
def test_any_bytes_are_gossip_or_refused_in_words(data: bytes) -> None:
    node = Node(X, Y)
    with suppress(CryptoError):
        node.liveness.told(data, Y, node.now)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([X, Y, *OTHERS[:2]]), st.integers(0, 3)), max_size=60))
def test_nobody_dies_who_answers(events: list[tuple[int, bytes, int]]) -> None:
    """Whatever is claimed in whatever order, X is never dead, for it answers each ping; and no order of calls fails."""
    node = Node(X, Y, *OTHERS[:2])
    for kind, who, number in events:
        if kind == 0:
            node.run(ROUND_S / 2, (Y, OTHERS[0]))
        elif kind == 1:
            node.tell(Y, Claim(who, ("alive", "suspect", "dead", "dead")[number], number))
        elif kind == 2:
            node.liveness.failed(Y, node.now, who if number else None)
        elif kind == 3:
            node.liveness.answered(Y, node.now, who)
        else:
            node.tell(who, Claim(X, "dead", 1 << 40), incarnation=number)
        assert node.state(X) != "dead"
        assert len(node.liveness.gossip(who)) <= GOSSIP_MAX
    node.run(ROUND_S + 1)
    assert node.state(X) == "alive"
