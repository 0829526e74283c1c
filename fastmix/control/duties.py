"""What the control process does: publishes keys and links, reserves counters ahead of use, answers questions."""

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fastmix.config import MixnodeConfig
from fastmix.control.snapshot import publish_snapshot
from fastmix.errors import ConfigError, ResourceExhausted
from fastmix.files.secret import read_secret
from fastmix.links.reservations import Reservations
from fastmix.links.static import LinkRoot, StaticLinkRoots
from fastmix.network import Network, end_name
from fastmix.packet.verdict import DROPS
from fastmix.seam.counters import CounterPage
from fastmix.seam.memory import Region, ask_mixing
from fastmix.status import Metrics, NodeState, NodeStatus

log = logging.getLogger(__name__)
OTHER_GEOMETRY_LOG_S = COMPLAINT_S = 60.0


@dataclass
class Duties:
    """The control side of one node over its shared memory."""

    config: MixnodeConfig
    network: Network
    page: Region
    secret: Region
    started: float = field(default_factory=time.monotonic)
    roots: list[LinkRoot] = field(default_factory=list, repr=False)
    logged_at: float = -OTHER_GEOMETRY_LOG_S
    logged_count: int = 0
    complained_at: float = -COMPLAINT_S
    owner: asyncio.Task[None] | None = None
    mixing_turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def begin(self) -> None:
        """Reads the node's own secrets, reserves counters, then publishes. `ConfigError` or `CryptoError` where a file is
        wrong."""
        secret = read_secret(self.config.secret_file)
        check_secret(self.network, self.config, secret)
        self.counters = CounterPage(self.page.bytes("counters"))
        self.roots = StaticLinkRoots(self.network, self.config.number).roots(time.time_ns())
        self.reservations = Reservations.open(self.config.reservations_path)
        self._reserve()
        slots, rate = self.config.pool_slots, self.config.client_rate
        publish_snapshot(self.secret, self.network, secret, self.roots, slots, client_rate=rate)
        self.page["process"]["control_pid"] = os.getpid()

    def _reserve(self) -> None:
        """A first start takes a new block of each root; one over memory in use goes on where that is. A predecessor may have died
        between two links, or between the two words of one.
        """
        links = self.page["links"]
        new = {root.send_root_id: at for at, root in enumerate(self.roots) if not links["send_limit"][at]}
        for root_id, taken in self.reservations.begin(new).items() if new else ():
            links["send_counter"][new[root_id]] = counter_word(taken.step, taken.seq)
            links["send_limit"][new[root_id]] = counter_word(taken.step_limit, taken.seq_limit)
        self.extend()

    def extend(self) -> None:
        """Keeps every link's reservation at least one block ahead of its use."""
        links = self.page["links"]
        for at, root in enumerate(self.roots):
            counter = int(links["send_counter"][at])
            limits = self.reservations.extend(root.send_root_id, counter & 0xFFFFFFFF, counter >> 32)
            links["send_limit"][at] = counter_word(*limits)

    def tick(self) -> None:
        """Ten times a second: reservations, the sink, what is logged once a minute."""
        try:
            self.extend()
        except ResourceExhausted as error:  # there is a block left, or more: the disk may recover until it is used up
            if time.monotonic() - self.complained_at >= COMPLAINT_S:
                log.error("%s; links stop when what is reserved is used up", error)
                self.complained_at = time.monotonic()
        sink = self.page["sink"]
        sink["tail"] = sink["head"]
        wrong = self.counters.read()["drop_other_geometry"]
        if wrong > self.logged_count and time.monotonic() - self.logged_at >= OTHER_GEOMETRY_LOG_S:
            log.warning(
                "%d datagrams so far had the length of the other geometry: this network is %s, a neighbour's file says otherwise",
                wrong, self.network.geometry.name,
            )  # fmt: skip
            self.logged_at, self.logged_count = time.monotonic(), wrong

    def drain(self, word: int = 1) -> None:
        """1: take nothing new and let the pool run empty; 2: drop what is left."""
        command = self.page["command"]
        command["drain"] = max(word, int(command["drain"][0]))
        command["wake"] += 1

    def state(self) -> NodeState:
        """What the shared words say."""
        process = self.page["process"]
        if process["drained"][0]:
            return NodeState.STOPPED
        if self.page["command"]["drain"][0]:
            return NodeState.DRAINING
        return NodeState.RUNNING if process["ready"][0] else NodeState.STARTING

    def status(self) -> NodeStatus:
        """Now."""
        counters = self.counters.read()
        done = sum(counters[name] for name in ("forwarded", "delivered", "absorbed_cover"))
        links = self.page["links"][: len(self.roots)]
        return NodeStatus(
            node_id=self.config.node_id, state=self.state(), uptime=time.monotonic() - self.started, messages_processed=done,
            current_batch_size=counters["pooled"], active_connections=int((links["window"]["top"] > 0).sum()),
        )  # fmt: skip

    def metrics(self) -> Metrics:
        """A consistent set of counters."""
        return metrics_of(self.counters.read())

    def ask_mixing(self, blob: bytes) -> int:
        """Hands a pickled (strategy, limits) to the data plane. Returns the generation to wait for."""
        number = ask_mixing(self.page, blob)
        self.page["command"]["wake"] += 1
        return number

    def mixing_answer(self, generation: int) -> str | None:
        """None: not yet; "": in force; else why it was refused."""
        mixing = self.page["mixing"]
        if int(mixing["applied"][0]) < generation:
            return None
        return bytes(mixing["error"][0, : int(mixing["error_size"][0])].tobytes()).decode(errors="replace")


def check_secret(network: Network, config: MixnodeConfig, secret: bytes) -> None:
    """The secret must be the one whose public half the network file names."""
    if X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw() != network.node(config.number).sphinx_public:
        raise ConfigError(
            f"{config.secret_file}: not the secret of {end_name(config.number)}, whose sphinx_public in {network.path} is "
            "another: "
            "name the right file, or put the new public key into the network file of all nodes"
        )


def counter_word(step: int, seq: int) -> int:
    """Both numbers as one word of shared memory."""
    return step | seq << 32


def metrics_of(counters: dict[str, int]) -> Metrics:
    """The public form of a counter page."""
    drops = {verdict.label: counters[verdict.label] for verdict in DROPS}
    plain = {name: counters[name] for name in Metrics.__dataclass_fields__ if name != "dropped"}
    return Metrics(**plain, dropped=drops)
