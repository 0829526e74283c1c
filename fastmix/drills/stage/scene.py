"""The stage: a node as an operator starts it, in a directory that goes with the drill, and a load of half its capacity."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fastmix.bench.cores import Cores, quiet_process
from fastmix.bench.machine import describe_machine
from fastmix.bench.neighbours import NODE, Neighbours
from fastmix.bench.under_test import NodeUnderTest, launch, signals_held
from fastmix.cli.output import version
from fastmix.config import MixnodeConfig
from fastmix.drills.stage.flow import Flow
from fastmix.drills.stage.packets import PacketMaker
from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.waiting import waiting_at
from fastmix.errors import BatchTimeout
from fastmix.files.durations import format_duration
from fastmix.files.temporary import FleetingDirectory
from fastmix.keys.slots import SlotTimes
from fastmix.packet.geometry import WAN
from fastmix.plan import identity_table, store_path
from fastmix.seam.pair import ADMITTED_PER_S, pair_size
from fastmix.status import Metrics
from fastmix.tune.capacity import unwraps_per_s
from fastmix.udp.endpoint import SK_MEMINFO_DROPS, meminfo

SETS = 4
"""Replay sets that may lie in the directory at once."""
ROOM = 32 << 20
"""Bytes beside them."""
FLOOD_S, SHORT_FLOOD_S = 0.6, 0.4
WARM_S = 0.15
SHARE, KEPT = 0.5, 0.85
"""The load is that share of the capacity, and that much of it is really sent, or a drill that never rests has not passed."""
ATTEMPTS = 3
SETTLE_S = 20.0
RECEIVE_BUFFER = 32 << 20


@dataclass(frozen=True)
class Scene:
    """How the node is configured. `key_s`: for so many seconds of all that its cores could unwrap a key's replay set has room;
    `chain`: where the chain of its mix keys lies, "memory" or "disk", which is in the drill's directory too."""

    mean_delay: timedelta = timedelta(milliseconds=5)
    max_latency: timedelta = timedelta(milliseconds=10)
    slot: timedelta = timedelta(minutes=10)
    early: timedelta = timedelta(seconds=60)
    late: timedelta = timedelta(seconds=120)
    workers: int = 1
    strict_kx: bool = False
    key_s: float = 0.0
    chain: Literal["memory", "disk"] = "memory"

    @property
    def mean_delay_ns(self) -> int:
        """Of the network."""
        return self.mean_delay // timedelta(microseconds=1) * 1000

    @property
    def times(self) -> SlotTimes:
        """When keys are live."""
        return SlotTimes(*(each // timedelta(microseconds=1) * 1000 for each in (self.slot, self.early, self.late)))

    @property
    def replay_capacity(self) -> int:
        """Packets that a key's replay set takes."""
        life_s = (self.slot + self.early + self.late).total_seconds()
        most = self.key_s * self.workers * unwraps_per_s(WAN, strict_kx=self.strict_kx) if self.key_s else 0
        return int(max(ADMITTED_PER_S * life_s, most))

    @property
    def graces(self) -> dict[str, str]:
        """For the report."""
        return {name: format_duration(getattr(self, name)) for name in ("slot", "early", "late", "max_latency")}

    def config_text(self, capacity: int) -> str:
        """The node's configuration file."""
        return "\n".join((
            f"number = {NODE}", 'network = "network/network.toml"', 'state_dir = "state"',
            "allow_swap = true  # its keys die with it", f"replay_capacity = {capacity}", f"workers = {self.workers}",
            f"strict_kx = {str(self.strict_kx).lower()}", f"receive_buffer = {RECEIVE_BUFFER}", "[mixing]",
            f'max_latency = "{format_duration(self.max_latency)}"', "[keys]", f'slot = "{format_duration(self.slot)}"',
            f'early = "{format_duration(self.early)}"', f'late = "{format_duration(self.late)}"',
            f'interval = "{format_duration(max(self.slot, timedelta(minutes=1)))}"', 'overlap_period = "10s"',
            f'chain = "{self.chain}"', identity_table(store_path(Path("network"), NODE)),
        ))  # fmt: skip


SECONDS = timedelta(seconds=1)
ROTATING = Scene(slot=2 * SECONDS, early=1.5 * SECONDS, late=2.4 * SECONDS, key_s=3.0)
"""Keys that change all the time: the graces that its mean delay and max_latency ask for at least, and that 2 s slots allow at
most."""


class Stage:
    """An open stage. `load_per_s`: packets a second of the load, `capacity_per_s` what the node carries (0: not measured)."""

    def __init__(self, options: Options, scene: Scene, cores: Cores, neighbours: Neighbours, directory: Path) -> None:
        self.options, self.scene, self.cores = options, scene, cores
        self.neighbours, self.directory = neighbours, directory
        self.capacity_per_s, self.load_per_s = 0.0, options.rate or 0.0
        self.replay_capacity = scene.replay_capacity
        self.plan = neighbours.new_network(WAN.name).write(directory / "network")
        (directory / "node.toml").write_text(scene.config_text(self.replay_capacity))
        self.config = MixnodeConfig.load(directory / "node.toml")
        self.node: NodeUnderTest
        self.packets: PacketMaker
        self._drops_before = self._sink_drops()
        self._drops_of_killed = self._drops_alive = 0
        self.flows: list[Flow] = []
        self._flows = 0

    def start_node(self, meanwhile: Callable[[], object] | None = None) -> None:
        """Starts a node over the files there are; returns when it is ready. `meanwhile` is called again and again until then."""
        with signals_held() as mask:
            self.node = launch(self.directory, self.config, self.cores.for_workers(self.config.workers), mask)
        self.node.wait_ready(meanwhile)
        for each in self.neighbours.sources:  # that nobody had listened is of before, and must not keep the next packet back
            each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def kill_node(self) -> Metrics:
        """SIGKILL to all its processes at once; what it said of itself just before."""
        last = self.node.metrics()
        self._drops_of_killed += last.kernel_drop_events
        self._drops_alive = self._drops_of_killed + self._sink_drops() - self._drops_before
        pids = self.node.pids()
        with suppress(ProcessLookupError):
            os.killpg(self.node.process.pid, signal.SIGKILL)
        self.node.process.wait()
        give_up = time.monotonic() + SETTLE_S
        while any(map(is_there, pids)) and time.monotonic() < give_up:
            time.sleep(0.002)
        assert self.node.process.stdout is not None
        self.node.process.stdout.close()
        return last

    def waiting(self) -> int:
        """Datagrams on their way to the node that it has not received, at most."""
        return waiting_at(self.neighbours.node_address, self.neighbours.geometry.frame_size)

    def flow(self, rate: float | None = None, **how: Any) -> Flow:
        """A load, by default that of the drill; `how`: see `Flow`."""
        flow = Flow(self.packets, self.neighbours, rate or self.load_per_s, self.cores.all, **how)
        self.flows.append(flow)
        return flow

    def make_ready(self) -> None:
        """The node, the maker of packets, and the load: measured, unless the rate is given."""
        self.options.progress(0.0, "starting a node")
        self.start_node()
        node = self.plan.network.node(NODE)
        descriptor = (self.plan.network.path.parent / node.descriptor, NODE, node.identity)
        self.packets = PacketMaker(self.neighbours, descriptor, self.cores.all, self.options.seed)
        if not self.load_per_s:
            self.options.progress(0.02, "measuring its capacity")
            self.capacity_per_s = self._carried()
            self.load_per_s = SHARE * self.capacity_per_s
            self.flows.clear()
        self._drops_before += self.node.metrics().kernel_drop_events

    def _carried(self) -> float:
        """Packets a second that come through when more are offered than the node can carry."""
        flood_s = SHORT_FLOOD_S if self.options.short else FLOOD_S
        rate = self.scene.workers * unwraps_per_s(WAN, strict_kx=self.scene.strict_kx)
        with self.flow(rate, ahead=max(1, round(flood_s / 0.2))) as flow:
            flow.run(WARM_S)
            before, began = flow.received, time.monotonic()
            flow.run(flood_s - WARM_S)
            carried = (flow.received - before) / (time.monotonic() - began)
            flow.finish()
        self.settle()
        return max(carried, 1.0)

    def settle(self) -> Metrics:
        """The node's counters once nothing waits in it and nothing comes any more."""
        give_up, before = time.monotonic() + SETTLE_S, Metrics(received=-1)
        while (now := self.node.metrics()).received != before.received or now.pooled or now.in_stage:
            if time.monotonic() > give_up:
                raise BatchTimeout(f"the node is not empty after {SETTLE_S:.0f} s: {now.account}")
            before = now
            time.sleep(0.05)
        return now

    def kernel_drop_events(self) -> int:
        """Events since the load began: at the node's sockets, and at the sink's."""
        now = self.node.metrics().kernel_drop_events + self._drops_of_killed + self._sink_drops()
        return now - self._drops_before

    def forgive_drops(self) -> int:
        """How many events there were since the last kill of the whole node, while none was there to receive. They make no run
        void."""
        drops = self.kernel_drop_events() - self._drops_alive
        self._drops_before += drops
        return drops

    def _sink_drops(self) -> int:
        return int(meminfo(self.neighbours.sink)[SK_MEMINFO_DROPS])

    def close(self) -> None:
        """Ends everything that it has started."""
        if hasattr(self, "packets"):
            self.packets.close()
        if hasattr(self, "node"):
            self.node.end()


def is_there(pid: int) -> bool:
    """Whether a process holds anything yet: one that only waits for its parent to ask does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


@contextmanager
def open_stage(options: Options, scene: Scene) -> Iterator[Stage]:
    """A node, ready, under no load yet; nothing of it stays."""
    room = SETS * pair_size(scene.replay_capacity) + ROOM
    with (
        quiet_process() as cores,
        Neighbours(cores.all, mean_delay_ns=scene.mean_delay_ns, rotates=True) as neighbours,
        FleetingDirectory("fastmix-drill-", room) as directory,
    ):
        stage = Stage(options, scene, cores, neighbours, directory)
        try:
            stage.make_ready()
            yield stage
        finally:
            stage.close()


def repeated_while_void(name: str, options: Options, scene: Scene, perform: Callable[[Stage], Outcome]) -> Report:
    """Performs on a stage; again on a new one where the kernel has dropped datagrams meanwhile, three times at most."""
    began = time.monotonic()
    for void_runs in range(ATTEMPTS):  # noqa: B007  (told below)
        with open_stage(options, scene) as stage:
            outcome = perform(stage)
            metrics, drops = stage.settle(), stage.kernel_drop_events()
            report = report_of(name, stage, outcome, metrics, drops)
        if not drops:
            break
    return replace(
        report, void_runs=void_runs + bool(drops), seconds=time.monotonic() - began, form=options.form,
        version=version(), machine=describe_machine(),
    )  # fmt: skip


def report_of(name: str, stage: Stage, outcome: Outcome, metrics: Metrics, drops: int) -> Report:
    """What one performance has come to."""
    figures = {name: value.item() if isinstance(value, np.generic) else value for name, value in outcome.figures.items()}
    checks = {name: bool(holds) for name, holds in outcome.checks.items()} | {
        "the node's counters add up": metrics.conservation == 0,
        "the kernel dropped nothing": drops == 0,
    }
    sent_per_s = sum(flow.sent_per_s for flow in stage.flows) / len(stage.flows)
    if stage.capacity_per_s and not any(flow.rested for flow in stage.flows):
        checks["the load was half of the capacity, or nearly"] = sent_per_s >= KEPT * stage.load_per_s
    conservation = {
        "exact": metrics.conservation == 0, "missing": metrics.conservation, "account": metrics.account,
        "crash_uncertain": metrics.crash_uncertain, "kernel_drop_events": drops,
        "dropped": {reason: n for reason, n in sorted(metrics.dropped.items()) if n},
    }  # fmt: skip
    load = {
        "per_s": round(stage.load_per_s), "sent_per_s": round(sent_per_s), "capacity_per_s": round(stage.capacity_per_s) or None,
        "share": SHARE if stage.capacity_per_s else None, "workers": stage.scene.workers,
        "replay_capacity": stage.replay_capacity,
    }  # fmt: skip
    return Report(
        name, all(checks.values()), figures, conservation, checks, load, format_duration(stage.scene.mean_delay),
        stage.scene.graces, seed=stage.options.seed,
    )  # fmt: skip
