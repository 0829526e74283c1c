"""Where a node puts what it keeps: memory that could be swapped, locks, how many neighbours it counts."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import config_of, written_plan
from real_node import ROOT, children, is_control

from fastmix.errors import ConfigError
from fastmix.files.private import lock
from fastmix.node import Mixnode
from fastmix.process import jit, swap
from fastmix.process.mixing import upstreams_of


def test_swap_matters_to_memory_only(monkeypatch) -> None:
    """A replay set on a disk lies there anyway."""
    monkeypatch.setattr(swap, "swap_active", lambda: True)
    monkeypatch.setattr(swap, "group_forbids_swap", lambda: False)
    kinds = {"/on-disk": ("ext4", ["rw"]), "/in-memory": ("tmpfs", ["rw"]), "/kept": ("tmpfs", ["rw", "noswap"])}
    monkeypatch.setattr(swap, "mount_of", lambda path: kinds[str(path)])
    assert swap.check_swap(Path("/on-disk"), False) is swap.check_swap(Path("/kept"), False) is None
    with pytest.raises(ConfigError, match="may also be on a disk"):
        swap.check_swap(Path("/in-memory"), False)
    assert "allow_swap is set" in (swap.check_swap(Path("/in-memory"), True) or "")


MOUNTS = """
mount -t tmpfs none "$1" || exit 3
mkdir -p "$1/a disk/state" "$1/under/state"
mount --bind "$2" "$1/a disk"; mkdir -p "$1/a disk/state"
mount -t tmpfs -o size=1m none "$1/under/state"
mount --bind "$2" "$1/under"; mkdir -p "$1/under/state"
exec "$3" -c "import sys; from pathlib import Path; from fastmix.process.swap import mount_of
for path in sys.argv[1:]: print(mount_of(Path(path))[0])" "$1" "$1/not/there" "$1/a disk/state" "$1/under/state" "$2"
"""


def test_a_disk_is_known_whatever_its_mount_is_called(tmp_path: Path) -> None:
    """A name with a space, and a mount that hides another. In a mount namespace of its own, where this user may have one."""
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    memory.mkdir()
    disk.mkdir()
    words = ["unshare", *(["-m"] if os.geteuid() == 0 else ["-Urm"])]
    if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, timeout=60, check=False).returncode:
        return  # a container without that right: nothing can be mounted in it
    words += ["sh", "-c", MOUNTS, "sh", str(memory), str(disk), sys.executable]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True, env=environment)
    first, coming, spaced, hidden, beside = ended.stdout.split()
    assert (first, coming) == ("tmpfs", "tmpfs")
    assert spaced == hidden == beside


def test_every_link_can_bring_packets(tmp_path: Path) -> None:
    """A packet may name any way along links, also one backwards."""
    network = written_plan(tmp_path / "net", (2, 2, 2), 3).network
    assert [upstreams_of(network, number) for number in (0, 2, 4)] == [2 + 3, 2 + 2, 2 + 2]


@pytest.mark.parametrize("writable", [True, False])
def test_the_compiling_lock_is_the_users(tmp_path: Path, monkeypatch, writable) -> None:
    """Not a name that everybody can take; and without a place for one, everybody compiles."""
    place = tmp_path / "cache"
    if not writable:
        place.write_text("no directory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    warmed = []
    monkeypatch.setattr(jit.warming, "warm", lambda: warmed.append(1))
    jit.warm_jit()
    assert warmed == [1]
    assert (place / jit.lock_name()).is_file() == writable


def test_who_waits_for_another_ones_compiling(tmp_path: Path, monkeypatch) -> None:
    """Only who would compile the same: not one whose kernels are in the cache, nor another installation."""
    waited = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jit.warming, "warm", lambda: None)
    monkeypatch.setattr(jit, "lock", lambda fd, wait_s: waited.append(jit.lock_name()))
    jit.warm_jit()
    jit.warm_jit()
    assert waited == [jit.lock_name()], "once: then it is noted"
    monkeypatch.setattr(jit.numba, "__version__", "0.0")
    jit.warm_jit()
    jit.warm_jit()
    assert len(waited) == 2, "compiled by another Numba"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "elsewhere"))
    jit.warm_jit()
    assert len(set(waited)) == 2


def test_who_has_waited_only_loads(tmp_path: Path, monkeypatch) -> None:
    """Without the lock, which the next one then has at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / jit.lock_name()

    def other_compiles(fd: int, _wait_s: float) -> None:
        path.write_bytes(jit.sources())
        assert lock(fd)

    def is_free() -> None:
        fd = os.open(path, os.O_RDWR)
        assert lock(fd)
        os.close(fd)

    monkeypatch.setattr(jit, "lock", other_compiles)
    monkeypatch.setattr(jit.warming, "warm", is_free)
    jit.warm_jit()
    assert path.read_bytes() == jit.sources()


async def test_metrics_of_a_control_that_stands_still(tmp_path: Path) -> None:
    plan = written_plan(tmp_path / "net")
    async with Mixnode(config_of(plan, tmp_path / "net", 0)) as node:
        assert node._process is not None
        (control,) = (pid for pid in children(node._process.pid) if is_control(pid))
        os.kill(control, signal.SIGSTOP)
        began = time.monotonic()
        assert node.get_metrics().conservation == 0
        assert time.monotonic() - began < 8
        os.kill(control, signal.SIGCONT)
        await asyncio.sleep(0)
