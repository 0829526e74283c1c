"""What the control process does: publishes keys and links, reserves counters ahead of use, answers questions."""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

from fastmix.config import MixnodeConfig
from fastmix.control.access import Peer
from fastmix.control.agreement import check_secret
from fastmix.control.cover_duty import CoverDuty
from fastmix.control.fixed_pair import marker_of, prepare_fixed_pair
from fastmix.control.health import HealthWatch, replay_issues
from fastmix.control.identity import NodeIdentity
from fastmix.control.load import Load
from fastmix.control.membership import Membership
from fastmix.control.peer_rows import PeerRows
from fastmix.control.records import Records
from fastmix.control.slot_keys import SlotKeyDuty
from fastmix.control.snapshot import SnapshotKey, published_keys
from fastmix.control.static_links import StaticLinks
from fastmix.errors import FastmixError
from fastmix.files.durations import duration_ns
from fastmix.files.secret import read_secret
from fastmix.keys.policy import KeyRotationPolicy
from fastmix.network import Network
from fastmix.packet.verdict import DROPS
from fastmix.seam.counters import CounterPage
from fastmix.seam.fill import replay_fills
from fastmix.seam.memory import Region, ask_mixing
from fastmix.status import COUNTED_LOOPS, Health, HealthIssue, HealthStatus, Metrics, NodeState, NodeStatus, ReplaySetStatus

log = logging.getLogger(__name__)
OTHER_GEOMETRY_LOG_S = COMPLAINT_S = 60.0
LOOK_S = 10.0
"""Between two looks whether the files of counters are in their places."""
FILL_S = 1.0
LOCK_PATIENCE_S = 3.0
"""So long a predecessor that is ending may still hold them."""
WRITTEN_ANEW = "written anew from memory. Without them a start would use the same keys and counters twice: leave them alone"


@dataclass
class Duties:
    """The control side of one node over its shared memory."""

    config: MixnodeConfig
    network: Network
    page: Region
    secret: Region
    identity: NodeIdentity
    filled_at: float = -FILL_S
    fills: tuple[ReplaySetStatus, ...] = ()
    logged_at: float = -OTHER_GEOMETRY_LOG_S
    logged_count: int = 0
    rotation_complained_at: float = -COMPLAINT_S
    owner: asyncio.Task[None] | None = None
    mixing_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    connections: Counter[int] = field(default_factory=Counter)
    """How many each user has to the control socket."""

    def __post_init__(self) -> None:
        self.records = Records(self.identity.audit, f"node {self.config.node_id}")
        rotates = self.network.rotates
        self.slot_keys = SlotKeyDuty(self.config, self.network, self.identity, note=self.records.note) if rotates else None
        self.counters = CounterPage(self.page.bytes("counters"))
        self.load = Load()
        self.watch = HealthWatch()
        links = StaticLinks if self.config.join is None else PeerRows
        self.links: StaticLinks | PeerRows = links(self.config, self.network, self.page, self.secret)
        self.cover = CoverDuty(self.config, self.network, self.page)
        self.member: Membership | None = None
        if isinstance(self.links, PeerRows):
            capacity = self.config.workers * int(self.page["process"]["unwraps_per_s"][0])
            self.member = Membership(self.config, self.identity, self.links, capacity)
            self.page["process"]["farewell"] = 1
        self.is_ending = False
        self.rotation_problem = ""

    def begin(self) -> None:
        """The first control of a node publishes; a later one takes over what is published, and reads no secret again."""
        if self.secret["snapshot"]["generation"][0]:
            self.records.note("control.start", pid=os.getpid())
            self._take_over()
        else:
            self._publish()
        self.page["process"]["control_pid"] = os.getpid()

    def _publish(self) -> None:
        """Reads the secrets, reserves counters, then publishes. `ConfigError` or `CryptoError` where a file is wrong."""
        self.links.begin()
        keys = [self._fixed_key()] if self.slot_keys is None else self.slot_keys.begin()
        self.links.reserve()
        user = Peer(os.getuid(), frozenset(), os.getpid()).name
        self.records.note_now("node.start", user=user, pid=os.getppid(), control_pid=os.getpid())
        self.links.publish(keys)

    def _fixed_key(self) -> SnapshotKey:
        config = self.config
        assert config.secret_file is not None  # `check_keys`
        secret = read_secret(config.secret_file)
        check_secret(self.network, config, secret)
        public, marker = self.network.node(config.number).sphinx_public, marker_of(config.secret_file)
        return SnapshotKey(prepare_fixed_pair(config.state_dir, secret, public, config.replay_tags, marker))

    def _take_over(self) -> None:
        """The files may have changed since the node has started: only what its memory holds counts."""
        if self.slot_keys is not None:
            self.slot_keys.take_over(published_keys(self.secret), kept_policy(self.page, self.config))
        self.links.take_over()

    def settle(self) -> None:
        """The data plane has ended for good: the next start goes on at the very next counters. What cannot be written begins at
        the next block."""
        self._note_stop()
        self.records.note("node.stop", outcome="done", drained=bool(self.page["process"]["drained"][0]))
        self.links.settle()

    def tick(self) -> None:
        """Ten times a second: links, the sink, what is logged once a minute."""
        self.links.tick()
        self._rotate()
        if self.member is not None and isinstance(self.links, PeerRows):
            view = self.member.directory.view if self.member.directory else None
            self.cover.follow(view, self.member.number, self.links.live())
        self.cover.tick(self.slot_keys.now_ns() if self.slot_keys and self.slot_keys.has_begun else time.time_ns())
        self._note_stop()
        sink = self.page["sink"]
        sink["tail"] = sink["head"]
        counters = self.counters.read()
        self.load.note(time.monotonic(), counters)
        self.watch.note(time.monotonic(), self.metrics())
        wrong = counters["drop_other_geometry"]
        if wrong > self.logged_count and time.monotonic() - self.logged_at >= OTHER_GEOMETRY_LOG_S:
            log.warning(
                "%d datagrams so far had the length of the other geometry. This network is %s: if a neighbour sent them, its "
                "network file says otherwise",
                wrong, self.network.geometry.name,
            )  # fmt: skip
            self.logged_at, self.logged_count = time.monotonic(), wrong

    def _note_stop(self) -> None:
        """Once, whoever has told the node to end."""
        if not self.is_ending and (word := int(self.page["command"]["drain"][0])):
            self.is_ending = True
            self.records.note("node.stop", outcome="begun", drains=word == 1)

    def _rotate(self) -> None:
        if self.slot_keys is None:
            return
        try:
            self.slot_keys.tick(self.secret, self.adopted())
            self.rotation_problem = ""
            if self.member is not None and self.slot_keys.told is not None:
                self.member.set_descriptor(self.slot_keys.told)
        except FastmixError as error:  # the keys that are published last until their time is over
            self.rotation_problem = str(error)
            if time.monotonic() - self.rotation_complained_at >= COMPLAINT_S:
                log.error("%s; the node goes on with the keys that it has", error)
                self.rotation_complained_at = time.monotonic()

    def adopted(self) -> int:
        """The generation of the snapshot that all threads of the data plane use."""
        return int(self.page["process"]["adopted"][0])

    def keep_policy(self, policy: KeyRotationPolicy) -> None:
        """For the next control of this node."""
        process = self.page["process"]
        half = int(process["policy_at"][0]) % 2
        process["policy"][0, half] = [duration_ns(policy.interval), duration_ns(policy.overlap_period), policy.backup_keys]
        process["policy_at"] = half + 1

    def drain(self, word: int = 1) -> None:
        """1: take nothing new and let the pool run empty, after a farewell where there is one; 2: drop what is left."""
        process, command = self.page["process"], self.page["command"]
        if word == 1 and process["farewell"][0] and not process["leave"][0]:
            process["leave"] = 1
            return
        command["drain"] = max(word, int(command["drain"][0]))
        command["wake"] += 1

    def state(self) -> NodeState:
        """What the shared words say."""
        process = self.page["process"]
        if process["drained"][0]:
            return NodeState.STOPPED
        if self.page["command"]["drain"][0] or process["leave"][0]:
            return NodeState.DRAINING
        return NodeState.RUNNING if process["ready"][0] else NodeState.STARTING

    def status(self) -> NodeStatus:
        """Now."""
        counters = self.counters.read()
        done = sum(counters[name] for name in ("forwarded", "delivered", "absorbed_cover"))
        process = self.page["process"]
        return NodeStatus(
            node_id=self.config.node_id,
            state=self.state(),
            uptime=(time.monotonic_ns() - int(process["started_ns"][0])) / 1e9,
            messages_processed=done,
            current_batch_size=counters["pooled"],
            active_connections=self.links.active(),
            pending_batches=-(-counters["pooled"] // self.config.mixing.max_batch_size),
            last_batch_ns=int(process["last_batch_ns"][0]),
            isa=bytes(process["isa"][0]).decode(),
            unwraps_per_s=int(process["unwraps_per_s"][0]),
            load_percent=self.load.percent(self.config.workers * int(process["unwraps_per_s"][0])),
            profile=self.config.profile,
            io=bytes(process["io"][0]).decode(),
            received_by_worker=self.counters.received_by_worker(self.config.workers),
            replay_sets=self.replay_sets(),
            cover=self.cover.text,
        )

    def replay_sets(self) -> tuple[ReplaySetStatus, ...]:
        """How full those of the live keys are; looked at once a second at most."""
        if time.monotonic() - self.filled_at >= FILL_S:
            self.filled_at = time.monotonic()
            self.fills = tuple(replay_fills(self.config.state_dir))
        return self.fills

    def metrics(self) -> Metrics:
        """A consistent set of counters."""
        return metrics_of(self.page)

    def health(self) -> Health:
        """What is wrong now."""
        return self.watch.look(self.status(), self.metrics(), self.links.reservations_fail, self._key_issues())

    def _key_issues(self) -> Iterator[HealthIssue]:
        if self.slot_keys is not None:
            yield from self.slot_keys.issues()
        if self.member is not None:
            yield from self.member.issues()
        yield from self.cover.issues()
        yield from replay_issues(self.replay_sets())
        if self.rotation_problem:
            remedy = "the node goes on with the keys that it has, until their time is over"
            yield HealthIssue("keys", HealthStatus.UNHEALTHY, self.rotation_problem, remedy)
        if self.records.problem:
            remedy = "keys cannot be rotated by hand meanwhile: mend what it names, or move log and head away together"
            yield HealthIssue("audit", HealthStatus.DEGRADED, self.records.problem, remedy)

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


def kept_policy(page: Region, config: MixnodeConfig) -> KeyRotationPolicy | None:
    """The rotation policy that was set since the start; None where none was."""
    assert config.keys is not None  # `check_keys`
    if not (at := int(page["process"]["policy_at"][0])):
        return None
    interval, overlap, backup_keys = (int(word) for word in page["process"]["policy"][0, at - 1])
    times = {name: timedelta(microseconds=ns // 1000) for name, ns in (("interval", interval), ("overlap_period", overlap))}
    return replace(config.keys.policy, **times, backup_keys=backup_keys)


def metrics_of(page: Region) -> Metrics:
    """The public form of a node's counters, and of what stands beside them."""
    counters = CounterPage(page.bytes("counters")).read()
    drops = {verdict.label: counters[verdict.label] for verdict in DROPS}
    beside = {name: int(page["process"][name][0]) for name in ("restarts", "unwraps_per_s")}
    beside |= {name: int(page["cover"][name][0]) for name in COUNTED_LOOPS}
    plain = {name: counters[name] for name in Metrics().counters if name not in beside}
    return Metrics(**plain, dropped=drops, **beside)
