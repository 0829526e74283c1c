"""What drills that kill read in a state directory."""

from pathlib import Path

import numpy as np
import pytest

from fastmix.drills.stage.kills import over, tags, told_s
from fastmix.drills.stage.packets import Packets
from fastmix.drills.stage.scene import ROTATING
from fastmix.errors import CryptoError
from fastmix.seam.pair import PairName, create_pair, known_secret


def test_tags_are_counted_in_whole_pairs_only(tmp_path: Path) -> None:
    names = [PairName(bytes([at] * 16), at, bytes(32)) for at in (1, 2)]
    pairs = [create_pair(tmp_path, name, 1024, known_secret(bytes([7] * 32))) for name in names]
    pairs[0].lines[3, :5] = 9
    assert list(tags(tmp_path).values()) == [5, 0]
    pairs[1].wipe_key()
    assert list(tags(tmp_path).values()) == [5]
    pairs[0].header["slot"] = 8
    with pytest.raises(CryptoError, match="damaged"):
        tags(tmp_path)


def test_where_nobody_was_killed_no_time_is_told() -> None:
    assert told_s([]) == {}
    assert told_s([0.25, 0.75]) == {
        "forwarding_again_p50_s": 0.5, "forwarding_again_p99_s": 0.745, "forwarding_again_max_s": 0.75,
    }  # fmt: skip


def test_packets_whose_key_is_over_are_known_by_their_slots_last_byte() -> None:
    times = ROTATING.times
    packets = Packets(*np.zeros((2, 6, 32), np.uint8), np.array([253, 254, 255, 0, 1, 2], np.uint8))
    now_ns = 256 * times.slot_ns + 400_000_000  # slot 256 since 0.4 s: 254 ended 2.4 s ago
    assert over(packets, times, now_ns).tolist() == [True, True, False, False, False, False]
    assert over(packets, times, now_ns - 1).tolist() == [True, False, False, False, False, False]
    assert times.closes_ns(254) == now_ns
