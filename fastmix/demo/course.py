"""The course of a demo: start everything, send, let the network run empty layer by layer, count."""

import asyncio
import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any, Protocol

from fastmix.client import Address
from fastmix.control.ask import LAST_METRICS, short_path
from fastmix.demo.children import Child
from fastmix.demo.load import Load
from fastmix.demo.options import DemoOptions
from fastmix.demo.results import Results
from fastmix.demo.site import HOST, LAYERS, MAX_LATENCY_MS, MEAN_DELAY_NS, Site
from fastmix.demo.wire import may_capture
from fastmix.errors import NetworkFailure
from fastmix.network import NetworkClient
from fastmix.status import Metrics

SENDER, RECEIVER = 0, 1
SEND_RATES = (1000.0, 400.0)
"""Packets a second of both clients, real or cover."""
RETRANSMIT_S = 1.5 * 6 * (10 * MEAN_DELAY_NS / 1e9 + MAX_LATENCY_MS / 1e3)
"""Six hops at their longest, and half as much again: what has not come by then is lost, whatever the strategy."""
START_S = 120.0
"""Longest start: several nodes may have to compile on a slow machine."""
STALL_S = 45.0
"""Longest time without any progress."""
TIMEOUT_S = 600.0
"""Of one message."""
DRAIN_S = 30.0
"""Longest drain of a layer, and longest wait for a last report."""
ANSWER_S = 2.0
LOOK_S = 0.25
CAPTURED, RELAYED = 2, 0
"""The node whose order is looked at: one in the middle; by relays one of the first, for the last answer to source addresses."""


class Screen(Protocol):
    """Who is told how it goes."""

    def note(self, text: str) -> None:
        """A new stage."""
        ...

    def show(self, course: "Course") -> None:
        """A look at the run."""
        ...


class Course:
    """One run. `close` ends all processes, whatever has happened."""

    def __init__(self, options: DemoOptions, site: Site, screen: Screen) -> None:
        self.options, self.site, self.screen = options, site, screen
        seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(6), "little")
        self.load = Load(seed, options.messages, options.file)
        self.results = Results(options.geometry, options.strategy, seed, len(self.load))
        self.nodes: dict[int, Child] = {}
        self.clients: list[Child] = []
        self.observer: Child | None = None
        self.told: list[dict[str, Any]] = [{}, {}]
        self.metrics: dict[int, dict[str, Any]] = {}
        self._digests: dict[int, str] = {}

    def children(self) -> list[Child]:
        """All processes so far."""
        return [*self.nodes.values(), *self.clients, *([self.observer] if self.observer else [])]

    def close(self) -> None:
        """Ends all processes."""
        for child in self.children():
            child.kill()

    def _check(self) -> None:
        for child in self.children():
            child.check()

    async def run(self) -> Results:
        """All of it. `NetworkFailure` where a process ends early or nothing moves any more."""
        began = time.monotonic()
        await self._start()
        self.results.started_s = time.monotonic() - began
        await self._send()
        await self._wind_down()
        self.results.total_s = time.monotonic() - began
        return self.results

    # Start

    async def _start(self) -> None:
        self.screen.note("starting six nodes, a process tree each")
        await self._start_observer()
        for node in self.site.network.nodes:
            name = f"node {node.number}"
            arguments = ["run", str(self.site.config_path(node.number))]
            self.nodes[node.number] = Child(name, "fastmix", arguments, self.site.log_path(name))
        await self._within(START_S, "the nodes were not ready", *(self._node_ready(number) for number in self.nodes))
        self.screen.note("starting two clients")
        for at, member in enumerate(self.site.network.clients):
            name = f"client {at}"
            child = Child(name, "fastmix.demo.client", [], self.site.log_path(name), talks=True)
            self.clients.append(child)
            child.tell(self._client_setup(at, member))
        await self._within(START_S, "the clients were not ready", *(self._client_ready(child) for child in self.clients))

    async def _start_observer(self) -> None:
        relays = self.site.relays
        self.observer = Child("observer", "fastmix.demo.observer", [], self.site.log_path("observer"), talks=True)
        ports = {node.address[1]: node.number for node in self.site.network.nodes}
        self.observer.tell(
            {
                "network": str(self.site.network.path),
                "watched": RELAYED if relays else CAPTURED,
                "ports": ports | {relay.target: relay.node for relay in relays},
                "relays": [(relay.port, relay.target) for relay in relays],
                "host": HOST,
            }
        )
        await self._within(START_S, "the observer was not ready", self.observer.hear())

    async def _within(self, seconds: float, late: str, *work: Any) -> None:
        """Runs all, side by side; `NetworkFailure` where they take too long or a process ends."""
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            async with asyncio.timeout(seconds):
                waiting = set(tasks)
                while waiting:
                    self._check()
                    done, waiting = await asyncio.wait(waiting, timeout=LOOK_S, return_when=asyncio.FIRST_EXCEPTION)
                    for task in done:
                        task.result()
        except TimeoutError:
            raise NetworkFailure(f"{late} after {seconds:g} s: the machine may be overloaded; try again") from None
        finally:
            for task in tasks:
                task.cancel()

    async def _node_ready(self, number: int) -> None:
        while (await self._ask(number, "status") or {}).get("state") != "running":
            self.nodes[number].check()
            await asyncio.sleep(0.05)

    async def _client_ready(self, child: Child) -> None:
        while "ready" not in await child.hear():
            continue

    async def _ask(self, number: int, op: str) -> dict[str, Any] | None:
        """One question to a node's control process; None where nobody answers."""
        try:
            with short_path(self.site.state_dir(number)) as path:
                reader, writer = await asyncio.open_unix_connection(path)
        except OSError:
            return None
        try:
            writer.write(json.dumps({"op": op}).encode() + b"\n")
            async with asyncio.timeout(ANSWER_S):  # wait_for of Python 3.11 can swallow a Ctrl-C
                answer: dict[str, Any] = json.loads(await reader.readline() or b"{}")
            return answer.get("ok")
        except (OSError, TimeoutError, ValueError):
            return None
        finally:
            writer.close()

    def _client_setup(self, at: int, member: NetworkClient) -> dict[str, Any]:
        network = self.site.network
        other = network.clients[RECEIVER]
        to = Address(other.peer_id, other.sphinx_public, network.index(other.exit))
        source = self.options.file if at == SENDER else self._received_path()
        return {
            "role": "sender" if at == SENDER else "receiver",
            "network": str(network.path),
            "geometry": network.geometry.name,
            "classes": network.classes,
            "peer_id": member.peer_id.hex(),
            "secret": str(self.site.secret_path(member)),
            "send_rate": SEND_RATES[at],
            "retransmit_after": RETRANSMIT_S,
            "timeout": TIMEOUT_S,
            "seed": self.load.seed,
            "messages": self.load.n,
            "file": str(source.absolute()) if source is not None and self.options.file is not None else None,
            "to": str(to),
            "record": str(self._record_path(at)),
        }

    def _record_path(self, at: int) -> Path:
        return self.site.directory / f"kx-{at}"

    def _received_path(self) -> Path:
        return self.site.directory / "received"

    # Sending

    async def _send(self) -> None:
        self.screen.note(f"sending {len(self.load)} messages")
        for child in self.clients:
            child.tell({"op": "go"})
        listening = [asyncio.create_task(self._listen(at)) for at in (SENDER, RECEIVER)]
        try:
            await self._watch(listening)
        finally:
            for task in listening:
                task.cancel()
        for child in self.clients:
            child.tell({"op": "hush"})
        await self._within(STALL_S, "the clients did not fall silent", *(self._hushed(at) for at in (SENDER, RECEIVER)))

    async def _watch(self, listening: list[asyncio.Task[None]]) -> None:
        """Until everything is delivered, answered and acknowledged; or nothing moves."""
        progress: object = None
        since = time.monotonic()
        while not self._finished():
            self._check()
            for task in listening:
                if task.done():
                    task.result()
            self.metrics = {number: found for number in self.nodes if (found := await self._ask(number, "metrics"))}
            self.screen.show(self)
            arrived = self.told[RECEIVER].get("counters", {}).get("delivered")
            now = (arrived, self.told[SENDER].get("replied"), self.told[SENDER].get("acknowledged"))
            if now != progress:
                progress, since = now, time.monotonic()
            elif time.monotonic() - since > STALL_S:
                return
            await asyncio.sleep(LOOK_S)

    def _finished(self) -> bool:
        return bool(self.told[SENDER].get("done")) and self.told[RECEIVER].get("answering") == 0

    async def _listen(self, at: int) -> None:
        while True:
            said = await self.clients[at].hear()
            if "told" in said:
                self._take(at, said["told"])

    async def _hushed(self, at: int) -> None:
        while True:
            said = await self.clients[at].hear()
            self._take(at, said["told"])
            if "hushed" in said:
                return

    def _take(self, at: int, told: dict[str, Any]) -> None:
        """Enters what a client says into the books."""
        self.told[at] |= told
        for number, at_ns in told.get("started", ()):
            self.results.ledger.start(hashlib.sha256(self.load.message(number)).hexdigest(), at_ns)
        for digest, at_ns, size in told.get("arrived", ()):
            self.results.ledger.arrive(digest, at_ns, size)

    # End

    async def _wind_down(self) -> None:
        """Clients are silent; the layers drain in the order of the road, so that nothing is left anywhere."""
        self.screen.note("letting the network run empty, layer by layer")
        for layer in range(1, LAYERS + 1):
            members = [self.nodes[node.number] for node in self.site.network.in_layer(layer)]
            for child in members:
                child.process.send_signal(signal.SIGTERM)
            for child in members:
                if await child.ended(DRAIN_S) != 0:
                    raise child.failure("did not end as it was told")
        for child in self.clients:
            child.tell({"op": "report"})
        results, sender = self.results, self.told[SENDER]
        async with asyncio.timeout(DRAIN_S):
            for at, child in enumerate(self.clients):
                results.clients[str(at)] = await self._report(child)
        for number in self.nodes:
            last = json.loads((self.site.state_dir(number) / LAST_METRICS).read_text())
            results.nodes[str(number)] = Metrics(**last).to_dict()
        results.replied, results.wrong_replies = sender.get("replied", 0), sender.get("wrong_replies", 0)
        results.failed = sender.get("failed", 0)
        results.ledger.close()
        results.file = self._verify()
        await self._observed()

    async def _report(self, child: Child) -> dict[str, Any]:
        while "report" not in (said := await child.hear()):
            continue
        report: dict[str, Any] = said["report"]
        return report

    def _verify(self) -> dict[str, Any] | None:
        """The hash of the file that came out, against that of the one that went in."""
        source, received = self.options.file, self._received_path()
        if source is None:
            return None
        sums = [file_sha256(path) if path.exists() else None for path in (source, received)]
        size = received.stat().st_size if received.exists() else 0
        return {"name": source.name, "size": size, "sha256": sums[1], "verified": sums[0] == sums[1]}

    async def _observed(self) -> None:
        assert self.observer is not None
        self.observer.tell({"op": "report", "records": [str(self._record_path(at)) for at in (SENDER, RECEIVER)]})
        async with asyncio.timeout(DRAIN_S):
            seen = await self.observer.hear()
        self.results.wire = {"by": "relay" if self.site.relays else "capture", **seen}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def relayed_nodes() -> tuple[int, ...]:
    """Before which nodes a relay stands: none where this process may capture; else the first one and those that it sends to."""
    return () if may_capture() else (RELAYED, 2, 3)
