"""The replay set: no tag twice, whoever asks and however full it is."""

import mmap
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from fastmix.kernels._replay import ReplaySet
from fastmix.packet.verdict import Verdict

OK, REPLAY, FULL = Verdict.OK, Verdict.DROP_REPLAY, Verdict.DROP_REPLAY_FULL
PROBES = 8


def lines_for(line_count: int) -> np.ndarray:
    """Page-aligned zeros, as shared memory gives them."""
    return np.frombuffer(mmap.mmap(-1, line_count * 64), np.uint32)


def tags(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 16), np.uint8)


def insert(table: ReplaySet, rows: np.ndarray, slots: np.ndarray | None = None) -> np.ndarray:
    verdicts = np.zeros(len(rows), np.uint8)
    table.insert(rows, verdicts, np.arange(len(rows), dtype=np.uint32) if slots is None else slots)
    return verdicts


def tag(line: int, fingerprint: int, line_count: int) -> np.ndarray:
    """A tag for a line and a fingerprint of choice: line = first eight bytes scaled to line_count."""
    first = -(-(line << 64) // line_count)
    return np.frombuffer(first.to_bytes(8, "little") + fingerprint.to_bytes(4, "little") + bytes(4), np.uint8)


def test_each_tag_once() -> None:
    table, rows = ReplaySet(lines_for(1000)), tags(1, 5000)
    assert (insert(table, rows) == OK).all()
    assert (insert(table, rows) == REPLAY).all()
    assert (insert(table, rows[::-1].copy()) == REPLAY).all()


def test_duplicates_in_one_batch() -> None:
    rows = tags(2, 3)[[0, 1, 0, 2, 2, 2]]
    assert insert(ReplaySet(lines_for(10)), rows).tolist() == [OK, OK, REPLAY, OK, REPLAY, REPLAY]


def test_only_named_slots_with_a_good_verdict() -> None:
    table, rows = ReplaySet(lines_for(10)), tags(3, 4)
    verdicts = np.array([OK, Verdict.DROP_MAC, OK, OK], np.uint8)
    table.insert(rows, verdicts, np.array([0, 1, 3], np.uint32))
    assert verdicts.tolist() == [OK, Verdict.DROP_MAC, OK, OK]
    assert insert(table, rows).tolist() == [REPLAY, OK, OK, REPLAY]


def test_fingerprint_0_becomes_1() -> None:
    memory = lines_for(4)
    table = ReplaySet(memory)
    assert insert(table, np.array([tag(2, 0, 4), tag(2, 1, 4), tag(2, 2, 4)])).tolist() == [OK, REPLAY, OK]
    assert memory.reshape(4, 16)[2, :3].tolist() == [1, 2, 0]


def test_lines_and_fingerprints_use_different_bytes() -> None:
    table = ReplaySet(lines_for(64))
    assert (insert(table, np.array([tag(line, 7, 64) for line in range(64)])) == OK).all()
    assert (insert(table, np.array([tag(3, 8 + i, 64) for i in range(15)])) == OK).all()


@pytest.mark.parametrize("line", [0, 90, 95, 99])
def test_a_full_line_goes_on_and_then_refuses(line: int) -> None:
    """16 x 8 fingerprints of one line find room, round the table's end too; the next one does not. Known ones stay known."""
    memory = lines_for(100)
    table = ReplaySet(memory)
    rows = np.array([tag(line, 1000 + i, 100) for i in range(16 * PROBES + 3)])
    room = 16 * PROBES
    assert insert(table, rows).tolist() == [OK] * room + [FULL] * 3
    assert insert(table, rows).tolist() == [REPLAY] * room + [FULL] * 3
    used = np.flatnonzero(memory.reshape(100, 16).all(axis=1)).tolist()
    assert used == sorted((line + i) % 100 for i in range(PROBES))


@pytest.mark.parametrize("line_count", [1, 2, 3, 7, 8, 9])
def test_small_tables_fill_to_the_last_place(line_count: int) -> None:
    table, rows = ReplaySet(lines_for(line_count)), tags(4, line_count * 16 + 50)
    verdicts = insert(table, rows)
    accepted = rows[verdicts == OK]
    assert len(accepted) <= line_count * 16
    if line_count <= PROBES:
        assert len(accepted) == line_count * 16
    assert set(verdicts.tolist()) == {OK, FULL}
    assert (insert(table, accepted) == REPLAY).all()


def test_no_tag_is_refused_at_half_load() -> None:
    """Mean 8 of 16 in a line, so 8 lines in a row are never full; at 3/4 refusals are below 1 in 10,000."""
    line_count = 10_000
    table, rows = ReplaySet(lines_for(line_count)), tags(10, line_count * 12)
    verdicts = insert(table, rows)
    assert (verdicts[: line_count * 8] == OK).all()
    assert (verdicts == FULL).sum() <= 12


def test_lines_are_used_evenly_to_the_ends() -> None:
    memory = lines_for(100)
    insert(ReplaySet(memory), tags(5, 600))
    used = np.count_nonzero(memory.reshape(100, 16), axis=1)
    assert used.min() >= 0
    assert used.sum() == 600
    assert (used[:5].sum(), used[-5:].sum()) > (10, 10)


def test_false_refusals_are_as_rare_as_computed() -> None:
    """With 12 random entries a line, a new tag meets its fingerprint with 12 / 2^32: of 10^6, 0.003 are expected."""
    line_count = 20_000
    memory = lines_for(line_count)
    memory.reshape(line_count, 16)[:, :12] = np.random.default_rng(6).integers(1, 2**32, (line_count, 12), np.uint32)
    table = ReplaySet(memory)
    refused = 0
    for seed in range(10):
        memory.reshape(line_count, 16)[:, 12:] = 0
        refused += int((insert(table, tags(100 + seed, 50_000)) == REPLAY).sum())
    assert refused <= 1


def test_false_refusals_grow_with_the_load() -> None:
    """A measurable rate: fingerprints drawn from 2^16 values meet one of a line's 8 with 8 / 2^16."""
    line_count, n = 4096, 200_000
    memory = lines_for(line_count)
    memory.reshape(line_count, 16)[:, :8] = np.random.default_rng(7).integers(1, 2**16, (line_count, 8), np.uint32)
    before = memory.copy()
    table, rows = ReplaySet(memory), tags(8, n)
    rows[:, 10:12] = 0
    refused = 0
    for chunk in np.array_split(rows, 50):
        memory[:] = before
        refused += int((insert(table, np.ascontiguousarray(chunk)) != OK).sum())
    within_chunk = 50 * 4000 * 3999 / 2 / line_count / 2**16
    expected = n * 8 / 2**16 + within_chunk
    assert abs(refused - expected) < 6 * expected**0.5


@pytest.mark.parametrize("line_count", [64, 4096])
def test_two_threads_insert_each_tag_once(line_count: int) -> None:
    """Both walk the same tags at once; each tag is accepted by exactly one of them, also where lines are full."""
    for seed in range(20):
        table, rows = ReplaySet(lines_for(line_count)), tags(200 + seed, line_count * 12)
        start = Barrier(2)

        def walk(order: np.ndarray, table: ReplaySet = table, rows: np.ndarray = rows, start: Barrier = start) -> np.ndarray:
            start.wait()
            return insert(table, rows, order)

        order = np.arange(len(rows), dtype=np.uint32)
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(walk, (order, order if seed % 2 else order[::-1].copy()))
        accepted = (first == OK).astype(int) + (second == OK)
        assert (accepted <= 1).all()
        assert (accepted[(first != FULL) & (second != FULL)] == 1).all()
        assert (insert(table, rows[accepted == 1]) == REPLAY).all()


def test_a_second_view_of_the_memory_knows_the_tags() -> None:
    """As after a crash: the table is the memory, nothing else."""
    memory, rows = lines_for(50), tags(9, 100)
    insert(ReplaySet(memory), rows)
    assert (insert(ReplaySet(memory), rows) == REPLAY).all()


def test_wrong_memory_and_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        ReplaySet(lines_for(2)[:17].copy())
    with pytest.raises(ValueError, match="multiple of 16"):
        ReplaySet(np.zeros(0, np.uint32))
    with pytest.raises(ValueError, match="64 bytes"):
        ReplaySet(lines_for(2)[4:20])
    table = ReplaySet(lines_for(1))
    with pytest.raises(ValueError, match="expected n x 16"):
        table.insert(np.zeros((2, 15), np.uint8), np.zeros(2, np.uint8), np.zeros(1, np.uint32))
    with pytest.raises(ValueError, match="slot 2"):
        table.insert(np.zeros((2, 16), np.uint8), np.zeros(2, np.uint8), np.array([2], np.uint32))
    table.insert(np.zeros((0, 16), np.uint8), np.zeros(0, np.uint8), np.zeros(0, np.uint32))
