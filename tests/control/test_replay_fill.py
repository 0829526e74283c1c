"""How full replay sets are, seen from outside."""

from pathlib import Path

import numpy as np
import pytest

from fastmix.control.health import replay_issues
from fastmix.seam.fill import COUNTED, replay_fills
from fastmix.seam.pair import ID_SIZE, PairName, create_pair, known_secret


@pytest.mark.parametrize(("capacity", "error"), [(2000, 0.0), (2_000_000, 0.01)])
def test_what_is_counted(tmp_path: Path, capacity: int, error: float) -> None:
    """Small sets exactly, large ones by a part of their lines."""
    pair = create_pair(tmp_path, PairName(bytes(range(ID_SIZE)), 77, bytes(32)), capacity, known_secret(b"s" * 32))
    places = pair.lines.size * 9 // 16
    assert (pair.lines.nbytes > COUNTED) == (error > 0)
    pair.lines.reshape(-1)[np.random.default_rng(1).permutation(pair.lines.size)[:places]] = 5
    (fill,) = replay_fills(tmp_path)
    assert fill.slot == 77
    assert fill.tags == pytest.approx(places, rel=error)
    assert fill.capacity == pytest.approx(capacity, rel=0.01)
    assert fill.size == (tmp_path / pair.path.name).stat().st_size
    assert fill.false_positive_rate == pytest.approx(9 / 2**32, rel=0.01)
    (issue,) = replay_issues([fill])
    assert "slot 77" in issue.problem
    assert "1 in" not in issue.problem
    assert "one new packet in 47" in issue.problem
    pair.wipe_key()
    assert not replay_fills(tmp_path)


def test_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "pair-00").write_bytes(b"rubbish")
    assert not replay_fills(tmp_path)
    assert not replay_fills(tmp_path / "nothing")
