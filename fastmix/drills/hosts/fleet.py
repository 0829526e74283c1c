"""`Fleet`: a mix network on the hosts of a `Lan`, and clients that send to each other; each a process of its own.

Whatever differs between a network whose file was written beforehand (`StaticNetwork`) and one that forms by itself
(`FormingNetwork`) lies in the object that it is given: which files there are, how a node is started, how a client joins.
"""

import os
import select
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from fastmix.bench.under_test import NodeUnderTest
from fastmix.drills.hosts import process
from fastmix.drills.hosts.lan import Host, Lan
from fastmix.drills.hosts.layout import HostedNetwork
from fastmix.drills.hosts.ledger import NEVER, Ledger
from fastmix.drills.hosts.member import MARK_SIZE
from fastmix.drills.hosts.process import Talking
from fastmix.drills.stage.scene import is_there
from fastmix.errors import BatchTimeout
from fastmix.status import Metrics

START_S = 120.0
SETTLE_S, LOOK_S = 30.0, 0.05
MESSAGE_SIZE = 200
NO_RETRANSMISSION_S = 3600.0
IDS = 1 << 32
"""Messages that a client may send: its numbers begin at that much times its own number."""


class Fleet:
    """`with Fleet(lan, network) as fleet`: all nodes run, all clients have had a packet back. All of it is gone at the end."""

    def __init__(
        self,
        lan: Lan,
        network: HostedNetwork,
        progress: Callable[[str], object] = lambda _: None,
        *,
        retransmit_after_s: float | None = NO_RETRANSMISSION_S,
        in_time_ns: int = NEVER,
    ) -> None:
        """The nodes are on the first hosts of the Lan, the clients behind them. `progress` is told what happens.

        Clients retransmit nothing, so that a message is a packet, and one that is lost is missed; `retransmit_after_s` changes
        that (None: as clients do by default); then what comes later than `in_time_ns` has been sent again."""
        self.lan, self.network, self._progress, self._retransmit_after_s = lan, network, progress, retransmit_after_s
        self.nodes: dict[int, NodeUnderTest] = {}
        self.clients: list[Talking] = []
        self.ledger = Ledger(in_time_ns)
        self.mark = os.urandom(MARK_SIZE)
        self._reports: dict[int, dict[str, Any]] = {}
        self._addresses: dict[int, str] = {}
        self._per_s = 0.0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kills all of it; nobody cares any more for what is in it."""
        for each in [node.process for node in self.nodes.values()] + [client.process for client in self.clients]:
            process.kill(each)

    def host_of_node(self, number: int) -> Host:
        """Where a node runs."""
        return self.lan.hosts[number]

    def host_of_client(self, at: int) -> Host:
        """Where a client runs."""
        return self.lan.hosts[self.network.layout.nodes + at]

    # Start

    def _start(self) -> None:
        layout = self.network.layout
        self._progress(f"starting {layout.nodes} nodes")
        for number in range(layout.nodes):
            self.launch(number)
        for number in self.nodes:
            self.wait_ready(number)
        self.wait_formed()
        self._progress(f"starting {layout.clients} clients")
        for at in range(layout.clients):
            self._start_client(at)
        self.until(lambda: len(self._addresses) == layout.clients, START_S, "the clients have had no packet back")

    def launch(self, number: int) -> NodeUnderTest:
        """Starts a node, over the files there are; it is not ready yet. A second time: the next one in its place."""
        directory = self.network.node_directory(number)
        words = self.network.node_command(number)
        started = process.start(self.host_of_node(number), "fastmix", words, directory / "log")
        self.nodes[number] = NodeUnderTest(started, directory, self.network.node_config(number))
        return self.nodes[number]

    def wait_ready(self, number: int) -> None:
        """Until a node that was launched works; meanwhile the clients are listened to."""
        self.nodes[number].wait_ready(lambda: self.run(LOOK_S))

    def wait_formed(self) -> None:
        """Until all nodes that run are one network; meanwhile the clients are listened to."""
        states = [node.state_dir for node in self.nodes.values()]
        self.until(lambda: self.network.is_formed(states), START_S, "the network has not formed")

    def _start_client(self, at: int) -> None:
        log = self.network.directory / f"client-{at}.log"
        client = Talking(f"client {at}", self.host_of_client(at), "fastmix.drills.hosts.member", log)
        self.clients.append(client)
        client.tell({
            **self.network.client_setup(at), "mark": self.mark.hex(), "size": MESSAGE_SIZE, "first": at * IDS,
            "timeout_s": NO_RETRANSMISSION_S, "retransmit_after_s": self._retransmit_after_s,
        })  # fmt: skip

    # What goes on

    def send(self, per_s: float) -> None:
        """From now on each client sends so many messages a second to the others, one packet each."""
        self._per_s = per_s
        for at, client in enumerate(self.clients):
            others = [text for other, text in self._addresses.items() if other != at]
            client.tell({"op": "go", "to": others, "per_s": per_s})

    def rest(self) -> None:
        """No new messages; cover goes on."""
        self._per_s = 0.0
        for client in self.clients:
            client.tell({"op": "rest"})

    def hush(self) -> None:
        """The clients send nothing more, not even cover, and still receive."""
        self._per_s = 0.0
        for client in self.clients:
            client.tell({"op": "hush"})

    def run(self, seconds: float) -> None:
        """Listens to the clients for so long. `NetworkFailure` where one has ended."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for client in select.select(self.clients, [], [], left)[0]:
                self._take(self.clients.index(client), client.heard())

    def _take(self, at: int, lines: list[dict[str, Any]]) -> None:
        for said in lines:
            self.ledger.sent(said.get("sent", ()))
            self.ledger.arrived(said.get("arrived", ()))
            self.ledger.refused(said.get("refused", ()))
            if "address" in said:
                self._addresses[at] = said["address"]
                if self._per_s:  # another exit: the others have to know
                    self.send(self._per_s)
            if "report" in said:
                self._reports[at] = said["report"]

    def until(self, condition: Callable[[], bool], patience_s: float, otherwise: str) -> None:
        """Listens until it holds; `BatchTimeout` where it takes longer than that."""
        give_up = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > give_up:
                raise BatchTimeout(f"{otherwise} after {patience_s:.0f} s: see {self.network.directory}")
            self.run(LOOK_S)

    def reports(self) -> dict[int, dict[str, Any]]:
        """The clients' counters now."""
        self._reports.clear()
        for client in self.clients:
            client.tell({"op": "report"})
        self.until(lambda: len(self._reports) == len(self.clients), SETTLE_S, "a client has not said what it counted")
        return dict(self._reports)

    def sent(self) -> int:
        """Packets that all clients have sent so far."""
        return sum(int(each["sent"]) for each in self.reports().values())

    def metrics(self) -> dict[int, Metrics]:
        """The counters of all nodes that run now."""
        return {number: node.metrics() for number, node in self.nodes.items() if node.process.poll() is None}

    def settle(self) -> dict[int, Metrics]:
        """The counters of all nodes, once the clients are silent and nothing waits in any node or passes between them."""
        before: dict[int, Metrics] = {}

        def quiet() -> bool:
            nonlocal before
            earlier, before = before, self.metrics()
            return before == earlier and not any(each.pooled or each.in_stage for each in before.values())

        self.until(quiet, SETTLE_S, "the nodes are not empty")
        return before

    # Failures

    def kill_node(self, number: int) -> Metrics:
        """SIGKILL to all processes of a node; what it said of itself just before. `launch` starts the next one."""
        node = self.nodes.pop(number)
        last, pids = node.metrics(), node.pids()
        process.kill(node.process)
        self.until(lambda: not any(map(is_there, pids)), SETTLE_S, f"node {number} is not dead")
        return last

    def blackhole(self, number: int) -> None:
        """What is sent to the node's host or by it vanishes; the node itself goes on."""
        self.lan.partition([self.host_of_node(number)])
