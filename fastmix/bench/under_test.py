"""The node under test: `fastmix run` as an operator starts it, with a fresh state, and what the kernel says of its processes."""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastmix.bench.cores import PRIORITY, Cores, raise_priority
from fastmix.bench.neighbours import NODE, Neighbours
from fastmix.config import MixnodeConfig
from fastmix.control.ask import ask
from fastmix.errors import FastmixError, NetworkFailure
from fastmix.files.temporary import FleetingDirectory
from fastmix.process.swap import mount_of
from fastmix.seam.lifeline import PR_SET_PDEATHSIG
from fastmix.status import Metrics

START_S, DRAIN_S, END_S = 60.0, 1.5, 5.0
REPLAY_CAPACITY = 8_000_000
"""Packets: more than a node is given in its life here, which is 40 s of work at 150,000 a second."""
ROOM = 8 * REPLAY_CAPACITY + (32 << 20)
"""Bytes that a node's directory may come to hold."""
_prctl = ctypes.CDLL(None).prctl


@dataclass(frozen=True, slots=True)
class Settings:
    """How a node is started. `mixing` are lines of its `[mixing]` table."""

    geometry: str = "wan"
    workers: int | None = 1
    """None: as the profile has it."""
    io: str | None = None
    """None: as the profile has it."""
    profile: str | None = None
    mixing: tuple[str, ...] = ('strategy = "adaptive"',)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of all the node's processes: anonymous and shared ones without the replay set, and RSS with everything.

    `own` is None where the kernel does not tell this user.
    """

    own: int | None
    replay: int
    rss: int


class NodeUnderTest:
    """A running node."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, config: MixnodeConfig) -> None:
        self.process, self.config, self.state_dir = process, config, directory / "state"
        self.log_path = directory / "log"

    def pids(self) -> list[int]:
        """Parent, data plane, control."""
        return [self.process.pid, *children(self.process.pid)]

    def control_pid(self) -> int:
        """Of the child that was executed; 0 while there is none."""
        return next((pid for pid in children(self.process.pid) if is_control(pid)), 0)

    def data_pid(self) -> int:
        """Of the child that was forked, once control runs; 0 while there is none."""
        pids = children(self.process.pid)
        return next((pid for pid in pids if not is_control(pid)), 0) if any(map(is_control, pids)) else 0

    def cpu_ns(self) -> int:
        """CPU time of all its processes so far."""
        return sum(process_cpu_ns(pid) for pid in self.pids())

    def memory(self) -> Memory:
        """What it holds now."""
        return memory_of(self.pids(), str(self.state_dir))

    def metrics(self) -> Metrics:
        """Its own counters."""
        return Metrics(**ask(self.state_dir, "metrics"))

    def io(self) -> str:
        """How it moves datagrams, whatever it was told."""
        return str(ask(self.state_dir, "status")["io"])

    def received_by_worker(self) -> list[int]:
        """Datagrams that each of its workers has received."""
        return [int(n) for n in ask(self.state_dir, "status")["received_by_worker"]]

    def check(self) -> None:
        """`NetworkFailure` where it has ended."""
        if self.process.poll() is not None:
            raise self.failure("ended while it was measured")

    def failure(self, what: str) -> NetworkFailure:
        """The error, with the last words of its log."""
        words = self.log_path.read_text(errors="replace").strip().splitlines()[-1:]
        return NetworkFailure(f"the node under test {what}" + "".join(f": {word}" for word in words))

    def wait_ready(self, meanwhile: Callable[[], object] | None = None) -> None:
        """Until it says so; `NetworkFailure` where it does not start. `meanwhile` is called again and again until then."""
        assert self.process.stdout is not None
        give_up, said, pipe = time.monotonic() + START_S, b"", self.process.stdout.fileno()
        while b"ready" not in said:
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise self.failure("did not start")
            if select.select([pipe], [], [], 0.0 if meanwhile else 0.1)[0]:
                said += os.read(pipe, 4096)
            elif meanwhile:
                meanwhile()

    def end(self) -> None:
        """Drains it, and kills what is left of it."""
        pids = self.pids()
        if self.process.poll() is None:
            for patience_s in (DRAIN_S, END_S):  # the second time it drops what waits
                self.process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(patience_s)
                    break
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        give_up = time.monotonic() + END_S
        while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < give_up:
            time.sleep(0.005)
        if self.process.stdout:
            self.process.stdout.close()


@contextmanager
def running_node(neighbours: Neighbours, settings: Settings, cores: Cores) -> Iterator[NodeUnderTest]:
    """A fresh node on as many cores as it has workers, with a state of its own; gone at the end, with its directory."""
    with FleetingDirectory("fastmix-bench-", ROOM) as directory:
        neighbours.new_network(settings.geometry).write(directory / "network")
        (directory / "node.toml").write_text(config_text(settings))
        config = MixnodeConfig.load(directory / "node.toml", settings.profile)
        node: NodeUnderTest | None = None
        try:
            with signals_held() as mask:
                node = launch(directory, config, cores.for_workers(config.workers), mask, settings.profile)
            node.wait_ready()
            yield node
        finally:
            if node:
                node.end()


@contextmanager
def signals_held() -> Iterator[set[signal.Signals]]:
    """Ctrl-C comes a moment later, so that no process is started of which nobody knows yet; the mask that was."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    mask = {each for each in before if isinstance(each, signal.Signals)}
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def config_text(settings: Settings) -> str:
    """The node's configuration file."""
    lines = [
        f"number = {NODE}",
        'network = "network/network.toml"',
        f'secret_file = "network/secrets/node-{NODE}"',
        'state_dir = "state"',
        "allow_swap = true  # its keys die with it",
        f"replay_capacity = {REPLAY_CAPACITY}",
        'log_level = "warning"',
    ]
    if settings.workers is not None:
        lines.append(f"workers = {settings.workers}")
    if settings.io is not None:
        lines.append(f'io = "{settings.io}"')
    return "\n".join([*lines, "[mixing]", *settings.mixing]) + "\n"


def launch(
    directory: Path, config: MixnodeConfig, cores: Sequence[int], mask: set[signal.Signals], profile: str | None = None
) -> NodeUnderTest:
    """Starts `fastmix run` on `node.toml`, with the highest priority where this user may give it, and that mask of signals."""

    def prepare() -> None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.sched_setaffinity(0, set(cores))
        raise_priority(PRIORITY, PRIORITY)

    under = ["--profile", profile] if profile else []
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fastmix", "run", *under, str(directory / "node.toml")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True, preexec_fn=prepare,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )  # fmt: skip
    return NodeUnderTest(process, directory, config)


def children(pid: int) -> list[int]:
    """Children of a process; none where it is gone."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_control(pid: int) -> bool:
    """Whether a process was executed as control."""
    try:
        return b"fastmix.control" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def process_cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process; 0 where it is gone."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)  # clock_getcpuclockid(3)
    except OSError:
        return 0


def memory_of(pids: Sequence[int], apart: str) -> Memory:
    """Proportional anonymous and shared memory of processes, that of files under `apart` aside, and their RSS."""
    own: int | None = 0
    rss = replay = 0
    kind, _ = mount_of(Path(apart))
    for pid in pids:
        try:
            rollup = fields_of(Path(f"/proc/{pid}/smaps_rollup").read_text())
            part = part_of(Path(f"/proc/{pid}/smaps").read_text(), apart)
        except OSError:
            own = None
            with suppress(OSError, FastmixError):
                rss += fields_of(Path(f"/proc/{pid}/status").read_text()).get("VmRSS", 0)
            continue
        rss += rollup["Rss"]
        replay += part
        if own is not None:
            own += rollup["Pss_Anon"] + rollup["Pss_Shmem"] - (part if kind == "tmpfs" else 0)  # elsewhere it is in Pss_File
    return Memory(own, replay, rss)


def fields_of(text: str) -> dict[str, int]:
    """`Name:  12 kB` lines as bytes."""
    lines = (line.split() for line in text.splitlines())
    return {words[0].rstrip(":"): int(words[1]) << 10 for words in lines if len(words) == 3 and words[2] == "kB"}


def part_of(smaps: str, apart: str) -> int:
    """Proportional bytes of the mappings whose file lies under `apart`."""
    total, inside = 0, False
    for line in smaps.splitlines():
        words = line.split(maxsplit=5)
        if "-" in words[0] and not words[0].endswith(":"):
            inside = len(words) > 5 and words[5].startswith(apart)
        elif inside and words[0] == "Pss:":
            total += int(words[1]) << 10
    return total
