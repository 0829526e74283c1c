"""A real node between two neighbours that the test plays, on sockets of its own, with all link secrets in hand."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oracle
from crafted import crafted
from road_rig import Sender

from fastmix.control.ask import ask
from fastmix.errors import FastmixError
from fastmix.network import link_id
from fastmix.plan import NetworkPlan, passphrase_path, plan_network, store_path
from fastmix.status import Metrics
from fastmix.testing import roots_of

ROOT = Path(__file__).parent.parent.parent
AT_ONCE = {"floor": 0, "min_batch_size": 1}
LAST = 16
"""Datagrams that end a `flush`: one for each worker, at most."""


class Zygote:
    """Starts nodes by forking (node_zygote.py)."""

    def __init__(self) -> None:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support"), *filter(None, sys.path)])
        program = [sys.executable, str(ROOT / "tests" / "support" / "node_zygote.py")]
        self.process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}, cwd=ROOT
        )

    def ask(self, **request: Any) -> Any:
        """One answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """Ends it and all its nodes."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


def until(
    what: Callable[[], Any], timeout_s: float = 30.0, every_s: float = 0.005, *, else_tell: Callable[[], Any] = lambda: ""
) -> Any:
    """Polls until the answer is true, and returns it; `else_tell` says how it stood where it never was."""
    give_up = time.monotonic() + timeout_s
    while not (answer := what()):
        assert time.monotonic() < give_up, f"nothing after {timeout_s} s: {else_tell()}"
        time.sleep(every_s)
    return answer


def bound_socket() -> socket.socket:
    """A UDP socket on loopback with much room."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.setblocking(False)
    return sock


def free_port() -> tuple[str, int]:
    """An address that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return "127.0.0.1", sock.getsockname()[1]


@dataclass
class RealNode:
    """Node 1 of a row of three; the test is node 0, which sends, and node 2, which receives. `options`: of `MixnodeConfig`;
    `inside`: a folder that tells its processes what to do (tests/support/inside)."""

    folder: Path
    zygote: Zygote
    mean_delay_ns: int = 10_000_000
    options: dict[str, Any] = field(default_factory=dict)
    kills: tuple[int, int, int] | None = None
    rotates: bool = False
    inside: Path | None = None
    pid: int = 0
    made: int = 0
    sent: int = 0
    frames: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before, self.after = bound_socket(), bound_socket()
        address = free_port()
        layers = [[self.before.getsockname()], [address], [self.after.getsockname()]]
        plan = plan_network(layers, 0, mean_delay_ns=self.mean_delay_ns, rotates=self.rotates)
        self.plan: NetworkPlan = plan.write(self.folder / "network")
        self.address = address
        self.state_dir = self.folder / "state"
        self.log_path = self.folder / "log"
        self.upstream = Sender(next(root for root in roots_of(plan, 0) if root.peer == link_id(1)))
        self.downstream = next(root for root in roots_of(plan, 2) if root.peer == link_id(1))

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as plain values."""
        base = {
            "number": 1,
            "network": str(self.plan.network.path),
            **self.keys_of(self.folder / "network"),
            "state_dir": str(self.state_dir),
            "allow_swap": True,
            "replay_capacity": 100_000,
            "pool_slots": 4096,
            "mixing": AT_ONCE,
        }
        return base | self.options

    def keys_of(self, network: Path) -> dict[str, Any]:
        """Where its secret or its identity is."""
        if not self.rotates:
            return {"secret_file": str(self.plan.secret_path(network, 1))}
        store = store_path(network, 1)
        return {"identity": {"store": str(store), "passphrase_file": str(passphrase_path(store))}}

    def launch(self) -> None:
        """Starts it, and returns at once."""
        inside = None if self.inside is None else str(self.inside)
        self.pid = self.zygote.ask(config=self.config, kills=self.kills, log=str(self.log_path), inside=inside)

    def start(self) -> None:
        """Returns when it receives."""
        self.launch()
        until(lambda: self.state() == "running" or self.exit_code() is not None, else_tell=lambda: self.log())

    def ask(self, op: str, **more: Any) -> Any:
        """One question over the control socket; None where no control answers."""
        try:
            return ask(self.state_dir, op, **more)
        except FastmixError as error:
            return None if "no node answers" in str(error) or "closed the connection" in str(error) else f"refused: {error}"

    def state(self) -> str | None:
        """Its state, if it answers."""
        status = self.ask("status")
        return status and status["state"]

    def metrics(self) -> Metrics | None:
        """Its counters, if it answers."""
        answer = self.ask("metrics")
        return None if answer is None else Metrics(**answer)

    def exit_code(self) -> int | None:
        """The exit code of the parent process; None while it lives."""
        if not self.pid:
            return None
        code: int | None = self.zygote.ask(wait=self.pid)
        if code is not None:
            self.pid, self.last_pid = 0, self.pid
        return code

    def child(self, name: str) -> int:
        """The pid of `data` or `control`, 0 where there is none."""
        for pid in children(self.pid):
            if is_control(pid) == (name == "control"):
                return pid
        return 0

    def log(self) -> str:
        """What all its processes have logged."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def packet(self, action: bytes = b"\x02\x00") -> bytes:
        """A packet unlike all others."""
        self.made += 1
        payload = random.Random(self.made).randbytes(self.plan.network.geometry.payload_size)
        return crafted(self.plan.secrets[1], action, payload, 3 * self.made)

    def send(self, n: int) -> list[bytes]:
        """n fresh packets to the node; their frames."""
        frames = [self.upstream.frame(self.packet()) for _ in range(n)]
        self.send_frames(frames)
        return frames

    def send_frames(self, frames: list[bytes]) -> None:
        """Datagrams to the node."""
        for frame in frames:
            self.before.sendto(frame, self.address)
        self.sent += len(frames)

    def settle(self, n: int) -> None:
        """Waits until n packets have come in and none is between socket and pool."""
        until(
            lambda: (m := self.metrics()) and m.received == n and not m.in_stage, else_tell=lambda: f"sent {n}, {self.metrics()}"
        )

    def flush(self) -> int:
        """Waits until nothing is in its sockets; how many datagrams went with a process that was killed between the kernel's
        hand and its own count (ARCHITECTURE.md, "The counter page"), which are taken off `sent`. Datagrams that are refused for
        their length stand last in the queues, one in that of each worker: the second word chooses it."""
        refused = until(self.metrics).dropped["drop_length"]
        self.send_frames([i.to_bytes(8) for i in range(LAST)])
        metrics = until(lambda: (m := self.metrics()) and m.dropped["drop_length"] == refused + LAST and not m.in_stage and m)
        gone = self.sent - metrics.received
        self.sent = metrics.received
        return gone

    def receive(self) -> int:
        """Takes what the node has sent; how many frames there are by now."""
        while True:
            try:
                self.frames.append(self.after.recv(65536))
            except BlockingIOError:
                return len(self.frames)

    def opened(self) -> list[Any]:
        """All frames so far, opened by the oracle."""
        self.receive()
        return [oracle.open_frame(self.downstream.recv_root, frame) for frame in self.frames]

    def signal(self, number: signal.Signals, whom: str = "parent") -> int:
        """A signal to `parent`, `data` or `control`; its pid."""
        pid = self.pid if whom == "parent" else until(lambda: self.child(whom))
        assert pid > 0, "there is no node: 0 would be the tests themselves"
        os.kill(pid, number)
        return pid

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def ended(self, timeout_s: float = 30.0) -> int:
        """Waits for the end; the exit code."""
        codes = [None]
        until(lambda: (codes.append(self.exit_code()), codes[-1] is not None)[1], timeout_s)
        self.receive()
        return codes[-1]  # type: ignore[return-value]

    def end(self) -> None:
        """Whatever is left of it, killed."""
        if self.pid:
            os.killpg(self.pid, signal.SIGKILL)
            self.ended()
        self.before.close()
        self.after.close()


@contextmanager
def real_node(folder: Path, zygote: Zygote, **options: Any) -> Iterator[RealNode]:
    """A started node, gone at the end whatever happened."""
    node = RealNode(folder, zygote, **options)
    try:
        node.start()
        yield node
    finally:
        node.end()


def children(pid: int) -> list[int]:
    """Children of a process."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_control(pid: int) -> bool:
    """True for a process that was executed as control."""
    try:
        return b"fastmix.control" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def group_members(pgid: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(after[2]) == pgid and after[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def port_is_bound(port: int) -> bool:
    """True if any process has that UDP port."""
    return any(line.split()[1].endswith(f":{port:04X}") for line in Path("/proc/net/udp").read_text().splitlines()[1:])


def maps_of(pid: int) -> str:
    """The mappings of a process, empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
