"""A node's keys where they rotate: chain, clock, pairs, descriptor. Control's duty, ten times a second."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fastmix.config import MixnodeConfig
from fastmix.control.chain import open_chain
from fastmix.control.identity import NodeIdentity
from fastmix.control.interval import Interval, last_descriptor
from fastmix.control.key_clock import KeyClock, clock_mark, tell_parting
from fastmix.control.rotation import Rotation
from fastmix.control.snapshot import SnapshotKey, publish_keys
from fastmix.descriptor import Descriptor, write_descriptor
from fastmix.errors import ConfigError, FastmixError, KeyRotationFailed, KeyStoreError, ResourceExhausted
from fastmix.files.durations import format_duration
from fastmix.keys.clock import ClockMark
from fastmix.keys.policy import KeyRotationPolicy
from fastmix.network import Network
from fastmix.seam.memory import Region
from fastmix.status import HealthIssue, HealthStatus

log = logging.getLogger(__name__)
ADOPTED_WAIT_S, ADOPTED_LOOK_S = 5.0, 0.005
"""So long a data plane may take to let go of keys that burn; then their files are wiped all the same."""
MOVED_NS = 1_000_000_000
PARTED = "the wall clock has parted from boot time"
NOT_OPENED = (
    "wait: the replay sets of before are gone or may have forgotten packets, as after a reboot, so keys begin with the first "
    "slot that had not opened; fastmix keys rotate --compromised NODE begins with fresh keys at once"
)
GIVEN_UP = (
    "a start with a clock that was ahead has given up all slots before. If the wall clock is right now, fastmix keys rotate "
    "--compromised NODE begins again with the slot of now; if it is behind, set it right"
)
AGAIN_NS = 2_000_000_000
"""So long after something could not be had it is tried again."""


@dataclass
class SlotKeyDuty:
    """Begins where its predecessor ended; `tick` makes and publishes keys.

    `until_ns`: the end of what is published and true, Unix time; 0: there is nothing.
    """

    config: MixnodeConfig
    network: Network
    identity: NodeIdentity
    published: list[SnapshotKey] = field(default_factory=list)
    until_ns: int = 0
    told: Descriptor | None = None
    """The descriptor that is published and true."""
    unwritten: FastmixError | None = None
    """Why the descriptor that is due has not been written."""
    kept_policy: KeyRotationPolicy | None = None
    has_begun: bool = False
    again_ns: int = 0
    note: Callable[..., None] = lambda *_, **__: None
    """Told of new keys and chains: action, and what else belongs to the record."""
    burning: bool = False
    """Keys are being burnt: nothing is made meanwhile."""
    clocks: Callable[[], ClockMark] = clock_mark
    _burnt: int = 0
    """Partings of the clocks after which all keys were burnt."""
    _anew: bool = False
    """A fresh chain has to begin, not before boot time has come to the next word."""
    _anew_from_ns: int = 0

    def begin(self) -> list[SnapshotKey]:
        """The keys to begin with. `FastmixError` where chain or pairs cannot be had, or the descriptor cannot be written though
        the identity can be used."""
        now_ns = self._resume(None)
        self.clock.leave_mark()
        self.rotation.look(now_ns)
        self._describe(now_ns)
        if self.unwritten is not None and not self.identity.problem():
            raise self.unwritten
        self.published = self._keys(now_ns)
        self._note_new()
        for issue in self._silence():
            log.warning("%s: %s", issue.problem, issue.remedy)
        return self.published

    def take_over(self, published: list[SnapshotKey], policy: KeyRotationPolicy | None = None) -> None:
        """In place of `begin`, where a predecessor has `published`: `tick` goes on, as soon as it can. `policy`: one that was set
        after the start."""
        self.published, self.kept_policy = published, policy

    def _resume(self, policy: KeyRotationPolicy | None, *, goes_on: bool = False) -> int:
        """Opens the chain, and takes up what a predecessor has left; the time. `goes_on`: the predecessor was a control of this
        very node, and its time goes on; at a node's start the wall clock is believed."""
        config, node = self.config, self.network.node(self.config.number)
        assert config.keys is not None  # `check_keys`
        policy = policy or config.keys.policy
        self.clock = KeyClock.begun(config, self.clocks, goes_on=goes_on)
        now_ns, parted = self.clock.now_ns(), self.clock.has_parted
        first = policy.times.live(now_ns)[0]
        chain, is_new = open_chain(config, node.identity, first)
        if is_new and self.descriptor_path.exists():
            why = "though keys of one are published: a new one begins, and what was built for those keys is dropped"
            log.warning("there is no chain of mix keys at %s, %s", chain.path, why)
        try:
            told = None if is_new else last_descriptor(self.descriptor_path, config.number, node.identity)
            if anew := parted or (told is not None and told.times != policy.times):
                chain.start_over(first)  # it may be a restored snapshot's; or what chain and pairs count are other slots
            if parted:
                tell_parting()
                self.note("keys.burnt", why=PARTED)
            self.rotation = Rotation(config.state_dir, policy.times, config.replay_tags, chain)
            self.rotation.begin(now_ns, fresh=anew or is_new, burn=anew or self.clock.is_unsure)
            known = [] if anew or is_new else chain.starts
            self._noted: set[object] = {*self.rotation.pairs, *(chain_id for _, chain_id in known)}
            self.interval = Interval(config.number, self.rotation, policy, self._write_descriptor)
            self.interval.take_up(None if anew else told, now_ns)
        except BaseException:
            chain.close()
            raise
        self.until_ns = 0 if self.interval.is_due else self.interval.until_ns
        self.told = None if self.interval.is_due else told
        self.has_begun, self._burnt = True, self.clock.partings
        return now_ns

    def _note_new(self) -> None:
        """New keys and new chains go to the audit log."""
        pairs, starts = self.rotation.pairs, self.rotation.chain.starts
        for slot in sorted(pairs.keys() - self._noted):
            self.note("keys.slot", slot=slot, public=pairs[slot].public.hex())
        for first, chain_id in starts:
            if chain_id not in self._noted:
                self.note("keys.chain", first_slot=first, chain=chain_id.hex()[:8])
        self._noted = {*pairs, *(chain_id for _, chain_id in starts)}

    def now_ns(self) -> int:
        """The time that keys go by."""
        return self.clock.now_ns()

    def _look_after_partings(self, now_ns: int) -> bool:
        """Where the clocks have parted, no key of before is used any more: a restored snapshot has replay sets that have
        forgotten packets, and a chain that would give keys a second time. Those of a fresh chain nobody has built for yet; there
        is one in a slot's time at most, however often clocks part. Whether keys may be made now."""
        if self._burnt != self.clock.partings:
            self._burnt, self._anew = self.clock.partings, True
            tell_parting()
            self.note("keys.burnt", why=PARTED, ahead_s=round(self.clock.parted_ns / 1e9))
            self.rotation.burn()
        boot_ns = self.clock.boot_ns
        if self._anew and boot_ns >= self._anew_from_ns:
            self.rotation.start_over(now_ns)
            self._anew, self._anew_from_ns = False, boot_ns + self.rotation.times.slot_ns
            self.interval.forget()
            self.interval.begin(now_ns)
            self.again_ns = 0
        return not self._anew

    def tick(self, secret: Region, adopted: int) -> None:
        """Makes what is due and publishes it once the data plane has `adopted` the generation before. `FastmixError`: later."""
        if self.burning or not (self.has_begun or self._resumed()):
            return
        now_ns = self.now_ns()
        try:
            if self._look_after_partings(now_ns):
                self.rotation.look(now_ns)
        finally:
            keys = self._keys(now_ns)
            if _differ(keys, self.published) and adopted == int(secret["snapshot"]["generation"][0]):
                publish_keys(secret, keys)
                self.published = keys
                log.info("keys of slots %s are live or will be soon", ", ".join(str(key.slot) for key in keys))
        if self._anew:
            return
        self.clock.leave_mark()
        if self.unwritten is None or time.monotonic_ns() >= self.again_ns:
            self._describe(now_ns)
        self._note_new()

    def _resumed(self) -> bool:
        """Resumes, now and then, until that has worked."""
        if time.monotonic_ns() < self.again_ns:
            return False
        self.again_ns = time.monotonic_ns() + AGAIN_NS
        self._resume(self.kept_policy, goes_on=True)
        return True

    def _describe(self, now_ns: int) -> None:
        """Writes the descriptor where that is due. What cannot be written now is tried again later."""
        try:
            self.interval.look(now_ns)
        except FastmixError as error:
            if str(error) != str(self.unwritten):
                log.error("%s; there is no new descriptor", error)
            self.unwritten, self.again_ns = error, time.monotonic_ns() + AGAIN_NS
        else:
            self.unwritten = None

    def issues(self) -> Iterator[HealthIssue]:
        """What is wrong with identity and descriptor, and until when that does not matter to others."""
        is_over = time.time_ns() >= self.until_ns
        status = HealthStatus.UNHEALTHY if is_over else HealthStatus.DEGRADED
        until = datetime.fromtimestamp(self.until_ns / 1e9, UTC)
        over = "what is published is over, so nobody can send to this node"
        lasts = over if is_over else f"what is published lasts to {until:%F %T} UTC"
        if problem := self.identity.problem():
            yield HealthIssue("identity", status, problem, lasts)
        elif self.unwritten is not None:
            yield HealthIssue("descriptor", status, str(self.unwritten), lasts)
        if self.has_begun:
            yield from self.clock.issues(self.rotation.times)
        yield from self._silence()

    def _silence(self) -> Iterator[HealthIssue]:
        """No published key is accepted at this moment, whatever the reason."""
        boot_ns = self.clocks().boot_ns
        if any(key.from_ns <= boot_ns < key.until_ns for key in self.published):
            return
        problem, remedy = "no key is live: every packet is refused", "mend what the other issues and the log name"
        if self.has_begun and (opens_ns := self.rotation.opens_next_ns(now_ns := self.now_ns())):
            problem += f" until {datetime.fromtimestamp(opens_ns / 1e9, UTC):%F %T} UTC, when the next slot opens that has a key"
            remedy = GIVEN_UP if self.rotation.is_ahead(now_ns) else NOT_OPENED
        yield HealthIssue("no_key", HealthStatus.UNHEALTHY, problem, remedy)

    def _keys(self, now_ns: int) -> list[SnapshotKey]:
        """The keys to publish. Whatever the clock does: one that was published opens no later, and lives no longer."""
        before = {key.id: key for key in self.published}
        keys = self.rotation.keys(now_ns, self.clock.boot_ns_at(now_ns))
        return [key.no_later(before[key.id]) if key.id in before else key for key in keys]

    @property
    def policy(self) -> KeyRotationPolicy:
        """The one in force."""
        return self.interval.policy

    @property
    def descriptor_path(self) -> Path:
        """Where the node's descriptor is."""
        return self.network.path.parent / self.network.node(self.config.number).descriptor

    def _write_descriptor(self, descriptor: Descriptor) -> None:
        path = self.descriptor_path
        try:
            write_descriptor(path, descriptor, self.identity)
        except OSError as error:
            problem = f"{path}: the descriptor cannot be written: {error.strerror}; make room, or check the directory"
            raise ResourceExhausted(problem) from None
        self.until_ns, self.unwritten, self.told = descriptor.valid_until_ns, None, descriptor

    def check_begun(self) -> None:
        """`KeyRotationFailed` where chain and pairs could not be had since the start of this control."""
        if not self.has_begun:
            raise KeyRotationFailed("the chain of mix keys cannot be had at the moment, as health says: nothing was changed")

    def renew(self) -> int:
        """Another chain from two slots on, which the descriptor lists: the slot. `KeyRotationFailed`: all is as before, or the
        descriptor is written as soon as it can be."""
        now_ns = self.now_ns()
        with failing("the keys of before stay in use"):
            first = self.rotation.renew(now_ns)
        self.interval.begin(now_ns)
        with failing(f"keys from slot {first} on are new, and the descriptor will be written as soon as it can be"):
            self.interval.look(now_ns)
        return first

    async def burn(self, secret: Region, adopted: Callable[[], int]) -> int:
        """Burns all keys at once and begins again, with the time that the clock shows, for none of the new keys was ever used:
        the first slot. `adopted`: as in `tick`, now. `KeyRotationFailed` as `renew`."""
        clock, self.burning = KeyClock(self.config, self.clocks), True
        try:
            with failing("nothing was burnt, and the keys of before stay in use"):
                self.rotation.start_over(clock.now_ns())
            if await until_adopted(secret, adopted):
                publish_keys(secret, [])
                self.published = []
                await until_adopted(secret, adopted)
            self.rotation.burn()
        finally:
            self.burning = False
        self.clock, first = clock, self.rotation.chain.slot
        self._burnt, self._anew = clock.partings, False
        self.interval.forget()
        with failing("all keys are burnt, and new ones are made as soon as they can be"):
            self.rotation.look(self.now_ns())
            self.interval.begin(self.now_ns())
            self.tick(secret, adopted())
            if self.unwritten is not None:
                raise self.unwritten
        return first

    def set_policy(self, policy: KeyRotationPolicy) -> None:
        """Another policy, and a new interval by it. `ConfigError` where it has other slots than the network; `KeyRotationFailed`
        where the descriptor cannot be written now."""
        times = self.interval.policy
        for name in ("slot", "early", "late"):
            if getattr(policy, name) != getattr(times, name):
                raise ConfigError(
                    f"{name} = {format_duration(getattr(policy, name))}: this node's network has {name} = "
                    f"{format_duration(getattr(times, name))}, which no node changes alone: give that"
                )
        now_ns = self.now_ns()
        with failing("the policy of before stays in force"):
            self.rotation.renew_from(self.interval.end_slot)
        self.interval.begin(now_ns, policy)
        with failing("the policy is in force, and the descriptor will be written as soon as it can be"):
            self.interval.look(now_ns)


@contextmanager
def failing(what: str) -> Iterator[None]:
    """What disk, token or TPM refuse as `KeyRotationFailed`, with what holds now."""
    try:
        yield
    except (ResourceExhausted, KeyStoreError) as error:
        raise KeyRotationFailed(f"{error}; {what}") from None


async def until_adopted(secret: Region, adopted: Callable[[], int]) -> bool:
    """Waits until the data plane uses the snapshot that is published; False where it does not for a while."""
    for _ in range(int(ADOPTED_WAIT_S / ADOPTED_LOOK_S)):
        if adopted() == int(secret["snapshot"]["generation"][0]):
            return True
        await asyncio.sleep(ADOPTED_LOOK_S)
    return False


def _differ(keys: list[SnapshotKey], published: list[SnapshotKey]) -> bool:
    """Whether the data plane has to be told: other keys, or a clock that was followed. It bears what the clocks drift apart."""
    return [key.id for key in keys] != [key.id for key in published] or any(
        abs(key.until_ns - known.until_ns) > MOVED_NS for key, known in zip(keys, published, strict=True)
    )
