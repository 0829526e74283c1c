"""How many packets a node's replay sets are made for: by what it can do, by what is said, by the room there is."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fastmix.config import IdentityConfig, KeysConfig, MixnodeConfig
from fastmix.control.fixed_pair import fixed_name
from fastmix.errors import ResourceExhausted
from fastmix.plan import plan_network
from fastmix.seam.pair import create_pair, fixed_id, known_secret, pair_size
from fastmix.tune.admission import Admission, Room, admit
from fastmix.tune.host import Host

UNWRAPS = 100_000
LIFE_S = 600 + 60 + 120
PLENTY = Room(1 << 40, 1 << 40)


def admission(folder: Path, room: Room = PLENTY, *, rotates: bool = True, **settings: Any) -> Admission:
    layers = [[("127.0.0.1", port)] for port in (9001, 9002, 9003)]
    plan = plan_network(layers, 0, rotates=rotates).write(folder / "net")
    if rotates:
        slots = {"slot": timedelta(minutes=10), "early": timedelta(minutes=1), "late": timedelta(minutes=2)}
        settings |= {"keys": KeysConfig(**slots), "identity": IdentityConfig(store="s")}
    else:
        settings |= {"secret_file": "s"}
    config = MixnodeConfig(number=0, network=plan.network.path, state_dir=folder / "state", **settings)
    return admit(config, plan.network, UNWRAPS, room)


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_all_that_the_cores_can_unwrap(tmp_path: Path, workers: int) -> None:
    found = admission(tmp_path, workers=workers)
    assert (found.sets, found.capacity) == (4, workers * 100_000 * LIFE_S)
    assert found.problem is None
    assert found.text.endswith(f": {workers * 100_000:,} a second over a key's life of 13min")


def test_less_where_there_is_less_memory(tmp_path: Path) -> None:
    """On the file system, or at all: four sets take half of it, and that is said. What is there already is room."""
    for room in (Room(1 << 30, 1 << 40), Room(1 << 40, 1 << 30), Room(1 << 29, 1 << 28, taken=3 << 28)):
        found = admission(tmp_path / f"{room.on_disk}-{room.in_memory}", room)
        assert 0.99 * (1 << 29) < found.size <= 1 << 29
        problem, remedy = found.problem or ("", "")
        assert problem.startswith("1024 MB of memory are free for replay sets: they take 26,8"), problem
        assert "of 100,000 that the cores could unwrap" in problem
        assert "replay_capacity" in remedy


def test_what_the_configuration_says(tmp_path: Path) -> None:
    """Fewer are an admission cap, which is told and nothing to warn of; more than memory are warned of."""
    found = admission(tmp_path / "fewer", replay_capacity=7_800_000)
    assert (found.capacity, found.problem) == (7_800_000, None)
    assert found.text.endswith("10,000 a second over a key's life of 13min; the cores could unwrap 100,000")
    found = admission(tmp_path / "more", Room(1 << 40, 1 << 28), replay_capacity=78_000_000)
    assert found.problem == (
        "256 MB of memory are free for replay sets, which may come to 1904 MB",
        "lower replay_capacity, or give the node more memory",
    )


def test_no_room_is_refused_with_the_size(tmp_path: Path) -> None:
    with pytest.raises(
        ResourceExhausted, match=r"state: no room for replay sets of 78000000 packets, which need 1904 MB \(up to 4 at a time\)"
    ):
        admission(tmp_path / "rotating", Room(1 << 30, 1 << 40), replay_capacity=78_000_000)
    with pytest.raises(ResourceExhausted, match=r"which need 18 MB \(up to 1 at a time\) of the 1 MB that are free"):
        admission(tmp_path / "fixed", Room(1 << 20, 1 << 40), rotates=False)


def test_a_key_without_an_end(tmp_path: Path) -> None:
    """3,000,000, what is said, or what its set was made for."""
    found = admission(tmp_path / "a", rotates=False)
    assert (found.sets, found.capacity, found.problem) == (1, 3_000_000, None)
    assert found.text == "1 of 19.2 MB, for 3,000,000 packets each, of a key without an end"
    assert admission(tmp_path / "b", rotates=False, replay_capacity=5000).capacity == 5000


def test_room_is_what_the_file_system_has(tmp_path: Path) -> None:
    """And what replay sets take there already; a directory that is still to be made has that of the one above it."""
    before = Room.of(tmp_path / "not" / "yet", Host())
    assert before.on_disk > before.taken == 0
    state_dir = tmp_path / "state"
    state_dir.mkdir(mode=0o700)
    create_pair(state_dir, fixed_name(b"k" * 32), 1_000_000, known_secret(b"s" * 32))
    assert pair_size(1_000_000) <= Room.of(state_dir, Host()).taken < pair_size(1_100_000)
    assert fixed_id(b"k" * 32).hex() in next(state_dir.iterdir()).name
