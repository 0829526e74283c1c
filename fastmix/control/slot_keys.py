"""A node's keys where they rotate: chain, clock, pairs, descriptor. Control's duty, ten times a second."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fastmix.config import MixnodeConfig
from fastmix.control.identity import NodeIdentity
from fastmix.control.interval import Interval, last_descriptor
from fastmix.control.rotation import Rotation
from fastmix.control.snapshot import SnapshotKey, publish_keys
from fastmix.descriptor import Descriptor, write_descriptor
from fastmix.errors import ConfigError, FastmixError, KeyRotationFailed, KeyStoreError, ResourceExhausted
from fastmix.files.durable import write_durably
from fastmix.files.durations import format_duration
from fastmix.keys.chainfile import ChainFile, chain_path
from fastmix.keys.clock import ClockMark, WallClock
from fastmix.keys.policy import KeyRotationPolicy
from fastmix.keys.tpm import DEVICE, NV_INDEX, NvPlaces
from fastmix.network import Network
from fastmix.seam.memory import Region
from fastmix.seam.pair import boot_id
from fastmix.status import HealthIssue, HealthStatus

log = logging.getLogger(__name__)
CLOCK_FILE = "clock"
"""In state_dir: what both clocks showed when keys were last looked after."""
MARK_NS = 1_000_000_000
LOCK_PATIENCE_S = 3.0
ADOPTED_WAIT_S, ADOPTED_LOOK_S = 5.0, 0.005
"""So long a data plane may take to let go of keys that burn; then their files are wiped all the same."""
MOVED_NS = 1_000_000_000
AGAIN_NS = 2_000_000_000
"""So long after something could not be had it is tried again."""


def read_mark(text: str) -> ClockMark | None:
    """What `CLOCK_FILE` says; None where it says nothing that makes sense."""
    try:
        unix_ns, boot_ns, boot, time_ns, offset_ns = text.split()
        return ClockMark(int(unix_ns), int(boot_ns), bytes.fromhex(boot), int(time_ns), int(offset_ns))
    except ValueError:
        return None


def clock_mark() -> ClockMark:
    """What the clocks show now."""
    return ClockMark(time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), boot_id())


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
    unwritten: FastmixError | None = None
    """Why the descriptor that is due has not been written."""
    kept_policy: KeyRotationPolicy | None = None
    has_begun: bool = False
    again_ns: int = 0
    marked_ns: int = 0
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
        self._mark()
        self.rotation.look(now_ns)
        self._describe(now_ns)
        if self.unwritten is not None and not self.identity.problem():
            raise self.unwritten
        self.published = self._keys(now_ns)
        self._note_new()
        return self.published

    def take_over(self, policy: KeyRotationPolicy | None = None) -> None:
        """In place of `begin`, where a predecessor has published: `tick` goes on, as soon as it can. `policy`: one that was set
        after the start."""
        self.kept_policy = policy

    def _resume(self, policy: KeyRotationPolicy | None, *, goes_on: bool = False) -> int:
        """Opens the chain, and takes up what a predecessor has left; the time. `goes_on`: the predecessor was a control of this
        very node, and its time goes on; at a node's start the wall clock is believed."""
        config, mark = self.config, self.clocks()
        assert config.keys is not None  # `check_keys`
        policy = policy or config.keys.policy
        before, node = self._last_mark(), self.network.node(config.number)
        self.clock, parted = WallClock(mark.unix_ns, mark.boot_ns), False
        if before is not None and before.boot_id == mark.boot_id:
            parted = before.has_parted(mark)
            self.clock = WallClock.resumed(before) if goes_on else self.clock
        now_ns = self.clock.read(mark.unix_ns, mark.boot_ns)
        first = policy.times.live(now_ns)[0]
        chain, is_new = self._open_chain(config.keys.chain, first)
        try:
            told = None if is_new else last_descriptor(self.descriptor_path, config.number, node.identity)
            if anew := parted or (told is not None and told.times != policy.times):
                chain.start_over(first)  # it may be a restored snapshot's; or what chain and pairs count are other slots
            if parted:
                tell_parting()
            self.rotation = Rotation(config.state_dir, policy.times, config.replay_capacity, chain)
            burn = anew or before is None or before.has_parted(mark)
            self.rotation.begin(now_ns, fresh=anew or is_new, burn=burn)
            known = [] if anew or is_new else chain.starts
            self._noted: set[object] = {*self.rotation.pairs, *(chain_id for _, chain_id in known)}
            self.interval = Interval(config.number, self.rotation, policy, self._write_descriptor)
            self.interval.take_up(None if anew else told, now_ns)
        except BaseException:
            chain.close()
            raise
        self.until_ns = 0 if self.interval.is_due else self.interval.until_ns
        self.has_begun, self._burnt = True, self.clock.partings
        return now_ns

    def _open_chain(self, kept: str, first: int) -> tuple[ChainFile, bool]:
        """The chain, and whether it was made just now, from slot `first` on."""
        config = self.config
        assert config.identity is not None  # `check_keys`
        path = chain_path(kept, config.identity.store.parent, config.state_dir)
        path = path.with_name(f"{path.name}-{config.number}")
        index, tpm = NV_INDEX + 2 * config.number, config.identity.tpm or DEVICE
        places = NvPlaces(index, tcti=tpm) if kept == "tpm" else None
        found = ChainFile.open(path, places, LOCK_PATIENCE_S)
        return found or ChainFile.create(path, first, places, LOCK_PATIENCE_S), found is None

    def _note_new(self) -> None:
        """New keys and new chains go to the audit log."""
        pairs, starts = self.rotation.pairs, self.rotation.chain.starts
        for slot in sorted(pairs.keys() - self._noted):
            self.note("keys.slot", slot=slot, public=pairs[slot].public.hex())
        for first, chain_id in starts:
            if chain_id not in self._noted:
                self.note("keys.chain", first_slot=first, chain=chain_id.hex()[:8])
        self._noted = {*pairs, *(chain_id for _, chain_id in starts)}

    def _last_mark(self) -> ClockMark | None:
        try:
            return read_mark((self.config.state_dir / CLOCK_FILE).read_text())
        except OSError:
            return None

    def _mark(self) -> None:
        """So that the next start sees whether the clocks have parted meanwhile."""
        mark = self.clock.mark(self.clocks().boot_id)
        if abs(mark.boot_ns - self.marked_ns) < MARK_NS:
            return
        self.marked_ns = mark.boot_ns
        text = f"{mark.unix_ns} {mark.boot_ns} {mark.boot_id.hex()} {mark.time_ns} {mark.offset_ns}\n"
        try:
            write_durably(self.config.state_dir / CLOCK_FILE, text.encode())
        except OSError as error:
            raise ResourceExhausted(f"{self.config.state_dir}: cannot be written: {os.strerror(error.errno or 0)}") from None

    def now_ns(self) -> int:
        """The time that keys go by."""
        mark = self.clocks()
        return self.clock.read(mark.unix_ns, mark.boot_ns)

    def _look_after_partings(self, now_ns: int) -> bool:
        """Where the clocks have parted, no key of before is used any more: a restored snapshot has replay sets that have
        forgotten packets, and a chain that would give keys a second time. Those of a fresh chain nobody has built for yet; there
        is one in a slot's time at most, however often clocks part. Whether keys may be made now."""
        if self._burnt != self.clock.partings:
            self._burnt, self._anew = self.clock.partings, True
            tell_parting()
            self.rotation.burn()
        boot_ns = self.clocks().boot_ns
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
        self._mark()
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
            yield from self._clock_issues()

    def _clock_issues(self) -> Iterator[HealthIssue]:
        """Where the wall clock is not followed."""
        if parted_ns := self.clock.parted_ns:
            way = f"{abs(parted_ns) / 1e9:.0f} s {'ahead of' if parted_ns > 0 else 'behind'}"
            problem = f"the wall clock is {way} the time that boot time bears out, by which keys go on"
            remedy = "set it right; if it is right: fastmix keys clock NODE --confirm, or wait for ten minutes"
            yield HealthIssue("clock", HealthStatus.UNHEALTHY if parted_ns > 0 else HealthStatus.DEGRADED, problem, remedy)
        elif self.clock.held_ns > self.rotation.times.late_ns // 2:
            problem = f"the wall clock was set back: keys stand for {self.clock.held_ns / 1e9:.0f} s, until it comes up to them"
            yield HealthIssue("clock", HealthStatus.UNHEALTHY, problem, "wait, or set it right")

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
        self.until_ns, self.unwritten = descriptor.valid_until_ns, None

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
        mark = self.clocks()
        clock = WallClock(mark.unix_ns, mark.boot_ns)
        self.burning = True
        try:
            with failing("nothing was burnt, and the keys of before stay in use"):
                self.rotation.start_over(clock.read(mark.unix_ns, mark.boot_ns))
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


def tell_parting() -> None:
    """For whoever looks into the log why everything was burnt."""
    log.error(
        "the wall clock has parted from boot time by more than 5 s: it was set, or this machine is a restored snapshot, whose "
        "replay sets are not those of now. All live keys are wiped, and a fresh chain begins"
    )


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
