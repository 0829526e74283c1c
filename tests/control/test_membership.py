"""Nodes find each other, keep what they know, and refuse who does not belong: over real connections, without data planes."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from members import Member, Rows, eventually
from msgspec import structs

from fastmix.control import entry, membership
from fastmix.directory.admission import token_text
from fastmix.directory.document import unsigned
from fastmix.directory.succession import Outcome, check_proof
from fastmix.directory.token_file import write_token_hash
from fastmix.errors import ConfigError, NetworkFailure
from fastmix.peers import linking
from fastmix.peers.directory_state import DirectoryState

Make = Any


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Member] = []

    def one(*bootstrap: Member | str, **more: Any) -> Member:
        texts = tuple(each if isinstance(each, str) else each.text for each in bootstrap)
        made.append(Member(more.pop("folder", tmp_path / f"n{len(made)}"), texts, **more))
        return made[-1]

    yield one
    await asyncio.gather(*(member.stop() for member in made))


async def formed(*members: Member) -> None:
    await eventually(lambda: all(member.is_linked() and len(member.numbers) == len(members) for member in members))
    await eventually(lambda: len({member.hash for member in members}) == 1)


async def test_six_nodes_find_each_other_by_one_of_them(make: Make) -> None:
    first = make().start()
    others = [make(first).start() for _ in range(2)]
    later = [make(others[0]).start() for _ in range(3)]  # by a node that is no authority
    await formed(first, *others, *later)
    layers = [entry.layer for entry in first.member.directory.view.document.entries]
    assert sorted(layers) == [1, 1, 2, 2, 3, 3]
    for one in (first, *others, *later):
        for peer in one.neighbours:
            other = next(each for each in (first, *others, *later) if each.identity.public == peer)
            mine, theirs = one.rows.roots[one.rows.sending[peer]][1], other.rows.roots[other.rows.sending[one.identity.public]][1]
            assert mine.exchange == theirs.exchange
            assert bytes(mine.send.view) == bytes(theirs.recv.view) != bytes(mine.recv.view)


async def test_a_node_goes_on_with_what_it_has_kept(make: Make) -> None:
    first = make().start()
    others = [make(first).start() for _ in range(2)]
    await formed(first, *others)
    epoch, numbers = first.epoch, {each.member.number for each in (first, *others)}
    await asyncio.gather(*(each.stop() for each in (first, *others)))
    for each in (first, *others):
        each.rows.sending.clear()
        each.start()
    await formed(first, *others)
    await eventually(lambda: first.epoch > epoch)
    assert {each.member.number for each in (first, *others)} == numbers


async def test_a_node_that_dies_is_marked_and_comes_back(make: Make) -> None:
    first = make().start()
    others = [make(first).start() for _ in range(2)]
    await formed(first, *others)
    await others[0].stop()
    gone = others[0].identity.public

    def ups(one: Member) -> list[bool]:
        directory = one.member.directory
        return [entry.up for entry in directory.view.document.entries if entry.identity == gone] if directory else []

    await eventually(lambda: ups(first) == ups(others[1]) == [False])
    others[0].start()
    await eventually(lambda: ups(first) == ups(others[1]) == ups(others[0]) == [True])
    await formed(first, *others)


async def test_a_node_that_leaves_says_so_and_stays_until_all_know(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody builds packets for it any more when it stops to take them. It may come again."""
    monkeypatch.setattr(membership, "NOTICE_S", 0.1)
    first = make().start()
    others = [make(first).start() for _ in range(2)]
    await formed(first, *others)
    for leaver in (others[1], first):
        stays = others[0]
        await leaver.member.leave()
        entries = {each.identity: each.up for each in stays.member.directory.view.document.entries}
        assert entries[leaver.identity.public] is False
        assert entries[stays.identity.public] is True
        await leaver.stop()
        leaver.rows.sending.clear()
        leaver.start()
        await formed(first, *others)
        await eventually(lambda stays=stays: all(each.up for each in stays.member.directory.view.document.entries))


async def test_who_lacks_the_token_stays_outside(make: Make) -> None:
    first = make(join={"admission": "token"})
    write_token_hash(first.folder / "identity", b"t" * 16)
    first.start()
    await eventually(lambda: first.epoch)
    bare, wrong = make(first).start(), make(f"{first.text}?{token_text(b'w' * 16)}").start()
    right = make(f"{first.text}?{token_text(b't' * 16)}").start()
    await eventually(lambda: right.epoch and right.member.number is not None)
    assert first.numbers == {0, 1}
    for one in (bare, wrong):
        assert one.member.directory is None
        assert not one.running.done(), "it keeps trying: the token may be given yet"


async def test_a_list_admits_who_is_on_it(make: Make) -> None:
    listed, other = make(), make()
    first = make(join={"admission": "list", "admitted": [listed.identity.public.hex()]}).start()
    listed.bootstrap = other.bootstrap = (first.text,)
    listed.start()
    other.start()
    await eventually(lambda: listed.epoch and listed.member.number is not None)
    assert other.member.directory is None


@pytest.mark.parametrize(
    ("join", "words"),
    [
        ({"mean_delay": "7ms"}, "mean_delay_ns is 50000000 there and 7000000 here"),
        ({"classes": 2}, "classes is 1 there and 2 here"),
    ],
)
async def test_a_joiner_of_another_network_is_told_what_differs(make: Make, join: dict[str, Any], words: str) -> None:
    first = make().start()
    await eventually(lambda: first.epoch)
    joiner = make(first, join=join).start()
    with pytest.raises(ConfigError, match=words):
        await joiner.running


async def test_another_geometry_is_named_on_both_sides(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    first = make().start()
    await eventually(lambda: first.epoch)
    make(first, join={"geometry": "jumbo"}).start()
    await eventually(lambda: "geometry jumbo here, wan there" in caplog.text)


async def test_a_wrong_pin_and_nobody_there_are_named(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    first, stranger = make().start(), make()
    await eventually(lambda: first.epoch)
    place = first.text.partition("#")[0]
    joiner = make(f"{place}#{'ab' * 32}", stranger.text).start()
    await eventually(lambda: "the server's PIN is" in caplog.text)
    await eventually(lambda: "Connection refused" in caplog.text or "Connect call failed" in caplog.text)
    assert joiner.member.directory is None


async def test_without_a_pin_it_takes_a_word(make: Make) -> None:
    first = make().start()
    await eventually(lambda: first.epoch)
    place = first.text.partition("#")[0]
    with pytest.raises(ConfigError, match="has no PIN behind #"):
        make(place).start()
    trusting = make(place, join={"trust_first": True}).start()
    await eventually(lambda: trusting.member.number is not None)


async def test_a_control_port_that_is_taken(make: Make) -> None:
    first = make().start()
    await eventually(lambda: first.epoch)
    second = make(control_port=first.control_port).start()
    with pytest.raises(NetworkFailure, match=r"the control port .* cannot be opened: Address already in use"):
        await second.running


async def three_authorities(make: Make, threshold: int = 2) -> list[Member]:
    seeds = [bytes([letter]) * 32 for letter in b"abc"]
    folder = make().folder
    identities = [Member(folder / f"seed {i}", seed=seed).identity.public.hex() for i, seed in enumerate(seeds)]
    join = {"authorities": identities, "threshold": threshold}
    first = make(seed=seeds[0], join=join)
    return [first, *(make(first, seed=seed, join=join) for seed in seeds[1:])]


async def test_three_authorities_sign_together_and_do_without_one(make: Make) -> None:
    """Also without the one that has begun the network, and whichever has the lowest identity."""
    authorities = await three_authorities(make)
    for each in authorities:
        each.start()
    await formed(*authorities)
    document = authorities[0].member.directory.state.succession.current
    assert len(document.signers(document.document.rule)) >= 2
    for gone in authorities[:2]:
        left = [each for each in authorities if each is not gone]
        await gone.stop()
        newcomer = make(left[0]).start()
        await eventually(lambda left=left, newcomer=newcomer: newcomer.member.number is not None)
        await eventually(lambda left=left, newcomer=newcomer: len({each.hash for each in (*left, newcomer)}) == 1)
        gone.rows.sending.clear()
        gone.start()
        await eventually(lambda left=left, gone=gone: gone.hash == left[0].hash)


async def test_one_authority_of_three_signs_nothing_that_counts(make: Make) -> None:
    authorities = await three_authorities(make)
    first = authorities[0].start()
    await eventually(lambda: "lacks signatures" in first.member.problem)
    assert first.epoch == 0
    authorities[2].start()
    await eventually(lambda: first.epoch)


async def test_what_was_signed_before_a_kill_is_completed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make().start()
    await eventually(lambda: first.epoch)
    directory = first.member.directory

    def killed(*_: object) -> None:
        raise NetworkFailure("killed")

    monkeypatch.setattr(directory.state, "take", killed)
    make(first).start()
    await eventually(lambda: first.member.problem == "killed")
    signed = directory.author.pen.last
    await first.stop()
    first.start()
    await eventually(lambda: first.epoch >= signed.document.epoch)
    assert first.member.directory.state.succession.hash_of(signed.document.epoch) == signed.hash


async def test_two_documents_of_one_epoch_are_found_out_by_all(make: Make) -> None:
    """Each is shown to one node only. Whoever compares has the proof, which all get, and no restart forgets."""
    first = make().start()
    others = [make(first).start() for _ in range(3)]
    await formed(first, *others)
    directory = first.member.directory
    author, document = directory.author, directory.author._next(directory.author.members(time.time_ns()), time.time_ns())
    await asyncio.gather(*(each.stop() for each in (first, *others)))
    for at, other in enumerate(others[:2]):
        state = DirectoryState.load(entry.folder_of(other.config), time.time_ns())
        signed = unsigned(structs.replace(document, made_ns=document.made_ns + at)).signed_by(first.identity)
        assert state.take([signed.envelope.to_bytes()], time.time_ns()).outcome is Outcome.TAKEN
    for each in others:
        each.start()
    await eventually(lambda: all(each.member.directory and each.member.directory.state.succession.proof for each in others))
    proof = others[2].member.directory.state.succession.proof
    assert check_proof(proof, author.rule) == document.epoch
    assert next(issue.name for issue in others[2].member.directory.issues()) == "equivocation"
    await others[2].stop()
    others[2].start()
    await eventually(lambda: others[2].member.directory)
    assert others[2].member.directory.state.succession.proof == proof


async def test_roots_are_renewed_and_made_anew_after_a_restart(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is another one, at both ends the same, and neither end sends before the other takes frames."""
    monkeypatch.setattr(linking, "LIFE_S", 2 * linking.OVERLAP_S + 0.3)
    first = make().start()
    others = [make(first).start() for _ in range(2)]
    await formed(first, *others)
    members = {each.identity.public: each for each in (first, *others)}

    def exchanges() -> dict[frozenset[bytes], bytes]:
        """Those that both ends send under."""
        found = {}
        for me, one in members.items():
            for peer, row in one.rows.sending.items():
                found.setdefault(frozenset((me, peer)), set()).add(one.rows.roots[row][1].exchange)
        return {pair: each.pop() for pair, each in found.items() if len(each) == 1}

    seen: dict[frozenset[bytes], set[bytes]] = {}

    def renewed() -> bool:
        for pair, exchange in exchanges().items():
            seen.setdefault(pair, set()).add(exchange)
        return len(seen) == 3 and all(len(each) >= 4 for each in seen.values())

    await eventually(renewed)
    await others[1].stop()
    others[1].rows = Rows()  # as after a kill: it has lost all roots
    others[1].start()
    await eventually(lambda: others[1].is_linked() and len(exchanges()) == 3)


async def test_the_older_of_two_nodes_with_one_identity_yields(make: Make) -> None:
    first = make().start()
    others = [make(first, seed=b"s" * 32).start(), make(first).start()]
    await formed(first, *others)
    double = make(first, seed=b"s" * 32).start()
    await eventually(lambda: "has this node's identity: stop one of them" in others[0].member.problem)
    await eventually(lambda: double.member.number is not None and double.member.problem == "")
    epoch = first.epoch
    await asyncio.sleep(2 * membership.LOOK_S)
    assert first.epoch <= epoch + 1, "they do not take the place from each other"
    issue = next(others[0].member.issues())
    assert "another node, at" in issue.problem


async def test_a_clock_that_is_off_is_named(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = make().start()
    await eventually(lambda: first.epoch)
    ahead = SimpleNamespace(time_ns=lambda: time.time_ns() + 7200 * 10**9)
    monkeypatch.setattr("fastmix.peers.answers.time", ahead)
    joiner = make(first).start()
    await eventually(lambda: "its clock is +7200 s from this machine's: one of them is wrong" in caplog.text)
    assert joiner.member.directory is None


async def test_another_node_s_address_is_refused(make: Make) -> None:
    first = make().start()
    await eventually(lambda: first.epoch)
    thief = make(first)
    thief.data_port = first.control_port
    thief.start()
    await eventually(lambda: thief.member and "which another node has" in thief.member.problem)
    assert first.numbers == {0}
