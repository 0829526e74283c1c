"""What is sent: sizes, seeds, parts of files; and the books that are kept of it."""

from pathlib import Path

import numpy as np

from fastmix.client import MESSAGE_LIMIT
from fastmix.demo.load import PART, PART_SIZE, SIZE_MAX, Load
from fastmix.demo.results import Ledger


def test_sizes_are_log_uniform_from_one_byte_to_64_kilobytes() -> None:
    load = Load(7, 4000)
    sizes = np.array([load.size(at) for at in range(len(load))])
    assert sizes.min() == 1
    assert 60_000 < sizes.max() <= SIZE_MAX
    share_below_256 = float(np.mean(sizes < 256))
    assert abs(share_below_256 - 0.5) < 0.03


def test_a_seed_decides_contents() -> None:
    one, same, other = (Load(seed, 40) for seed in (1, 1, 2))
    assert [one.message(at) for at in range(40)] == [same.message(at) for at in range(40)]
    assert all(len(one.message(at)) == one.size(at) for at in range(40))
    assert one.message(3) != other.message(3)


def test_parts_of_a_file_are_the_file(tmp_path: Path) -> None:
    content = bytes(range(251)) * 10_000
    path = tmp_path / "file"
    path.write_bytes(content)
    load = Load(0, 99, path)
    parts = [load.message(at) for at in range(len(load))]
    assert [PART.unpack_from(part) for part in parts] == [(at, 3) for at in range(3)]
    assert [len(part) for part in parts] == [load.size(at) for at in range(3)]
    assert len(parts[0]) == MESSAGE_LIMIT == PART_SIZE + PART.size
    assert b"".join(part[PART.size :] for part in parts) == content


def test_an_empty_file_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert [Load(0, 1, path).message(at) for at in range(len(Load(0, 1, path)))] == [PART.pack(0, 1)]


def test_the_ledger_matches_by_content_and_tells_what_is_strange() -> None:
    ledger = Ledger()
    ledger.start("a", 1_000_000)
    ledger.start("a", 2_000_000)
    ledger.arrive("a", 4_000_000, 1)
    ledger.arrive("b", 5_000_000, 1)  # the news of its start is late
    ledger.arrive("c", 5_000_000, 1)  # nobody sent it
    ledger.start("b", 3_000_000)
    ledger.close()
    assert (ledger.sent, ledger.delivered, ledger.mismatched) == (3, 2, 1)
    assert ledger.latencies_ms == [3.0, 2.0]
