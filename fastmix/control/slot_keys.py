"""A node's keys where they rotate: chain, clock, pairs, descriptor. Control's duty, ten times a second."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastmix.config import MixnodeConfig
from fastmix.control.interval import Interval, last_descriptor
from fastmix.control.rotation import Rotation
from fastmix.control.snapshot import SnapshotKey, publish_keys
from fastmix.descriptor import Descriptor, identity_public, write_descriptor
from fastmix.errors import ConfigError, KeyRotationFailed, ResourceExhausted
from fastmix.files.durable import write_durably
from fastmix.files.durations import duration_ns, format_duration
from fastmix.files.secret import read_secret
from fastmix.keys.chainfile import ChainFile, chain_path
from fastmix.keys.clock import ClockMark, WallClock
from fastmix.keys.policy import KeyRotationPolicy
from fastmix.network import Network, end_name
from fastmix.seam.memory import Region
from fastmix.seam.pair import boot_id

log = logging.getLogger(__name__)
HOPS = 3
CLOCK_FILE = "clock"
"""In state_dir: what both clocks showed when keys were last looked after."""
MARK_NS = 1_000_000_000
LOCK_PATIENCE_S = 3.0
ADOPTED_WAIT_S, ADOPTED_LOOK_S = 5.0, 0.005
"""So long a data plane may take to let go of keys that burn; then their files are wiped all the same."""
MOVED_NS = 1_000_000_000


def read_mark(text: str) -> ClockMark | None:
    """What `CLOCK_FILE` says; None where it says nothing that makes sense."""
    try:
        unix_ns, boot_ns, boot = text.split()
        return ClockMark(int(unix_ns), int(boot_ns), bytes.fromhex(boot))
    except ValueError:
        return None


def clock_mark() -> ClockMark:
    """What the clocks show now."""
    return ClockMark(time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), boot_id())


def check_keys(network: Network, config: MixnodeConfig) -> None:
    """`ConfigError` where network and configuration do not agree on how keys live."""
    if network.rotates and config.keys is None:
        raise ConfigError(f"{network.path}: its nodes have identities, so keys rotate: add a [keys] table to the configuration")
    if config.keys is None:
        return
    if not network.rotates:
        raise ConfigError(f"{network.path}: its nodes have keys without an end: remove the [keys] table of the configuration")
    config.keys.policy.check(HOPS, network.mean_delay_ns, duration_ns(config.mixing.max_latency))
    public = identity_public(read_secret(config.secret_file))
    if public != network.node(config.number).identity:
        raise ConfigError(
            f"{config.secret_file}: not the seed of the identity of {end_name(config.number)}: its public key is {public.hex()}, "
            f"but {network.path} has {network.node(config.number).identity.hex()}: name the right file, or correct identity"
        )


@dataclass
class SlotKeyDuty:
    """Begins where its predecessor ended; `tick` makes and publishes keys."""

    config: MixnodeConfig
    network: Network
    published: list[SnapshotKey] = field(default_factory=list)
    marked_ns: int = 0
    burning: bool = False
    """Keys are being burnt: nothing is made meanwhile."""

    def begin(self, policy: KeyRotationPolicy | None = None) -> list[SnapshotKey]:
        """The keys to begin with. `policy`: one that was set after the start. `FastmixError` where chain, pairs or descriptor
        cannot be had."""
        config, mark = self.config, clock_mark()
        assert config.keys is not None
        check_keys(self.network, config)
        policy = policy or config.keys.policy
        before, node = self._last_mark(), self.network.node(config.number)
        self.clock = WallClock(mark.unix_ns, mark.boot_ns)
        now_ns = self.clock.read(mark.unix_ns, mark.boot_ns)
        path = chain_path(config.keys.chain, config.secret_file.parent, config.state_dir)
        path = path.with_name(f"{path.name}-{config.number}")
        found, first = ChainFile.open(path, wait_s=LOCK_PATIENCE_S), policy.times.live(now_ns)[0]
        chain = found or ChainFile.create(path, first, wait_s=LOCK_PATIENCE_S)
        told = last_descriptor(self._descriptor_path, config.number, node.identity) if found else None
        if other_slots := told is not None and told.times != policy.times:
            chain.start_over(first)  # what the chain and pairs count are slots of another length
        self.rotation = Rotation(config.state_dir, policy.times, config.replay_capacity, chain)
        burn = other_slots or before is None or before.has_parted(mark)
        self.rotation.begin(now_ns, fresh=other_slots or found is None, burn=burn)
        self._mark(mark)
        self.rotation.look(now_ns)
        self.interval = Interval(config.number, self.rotation, policy, self._write_descriptor)
        self.interval.take_up(None if other_slots else told, now_ns)
        self.interval.look(now_ns)
        self.published = self._keys(now_ns)
        return self.published

    def _last_mark(self) -> ClockMark | None:
        try:
            return read_mark((self.config.state_dir / CLOCK_FILE).read_text())
        except OSError:
            return None

    def _mark(self, mark: ClockMark) -> None:
        """So that the next start sees whether the clocks have parted meanwhile."""
        if abs(mark.boot_ns - self.marked_ns) < MARK_NS:
            return
        self.marked_ns = mark.boot_ns
        text = f"{mark.unix_ns} {mark.boot_ns} {mark.boot_id.hex()}\n"
        try:
            write_durably(self.config.state_dir / CLOCK_FILE, text.encode())
        except OSError as error:
            raise ResourceExhausted(f"{self.config.state_dir}: cannot be written: {os.strerror(error.errno or 0)}") from None

    def now_ns(self) -> int:
        """The time that keys go by."""
        mark = clock_mark()
        return self.clock.read(mark.unix_ns, mark.boot_ns)

    def tick(self, secret: Region, adopted: int) -> None:
        """Makes what is due and publishes it once the data plane has `adopted` the generation before. `FastmixError`: later."""
        if self.burning:
            return
        now_ns = self.now_ns()
        try:
            self.rotation.look(now_ns)
        finally:
            keys = self._keys(now_ns)
            if _differ(keys, self.published) and adopted == int(secret["snapshot"]["generation"][0]):
                publish_keys(secret, keys)
                self.published = keys
                log.info("keys of slots %s are live or will be soon", ", ".join(str(key.slot) for key in keys))
        self._mark(clock_mark())
        self.interval.look(now_ns)

    def _keys(self, now_ns: int) -> list[SnapshotKey]:
        """The keys to publish. Whatever the clock does: one that was published opens no later, and lives no longer."""
        before = {key.id: key for key in self.published}
        keys = self.rotation.keys(now_ns, self.clock.boot_ns_at(now_ns))
        return [key.no_later(before[key.id]) if key.id in before else key for key in keys]

    @property
    def _descriptor_path(self) -> Path:
        return self.network.path.parent / self.network.node(self.config.number).descriptor

    def _write_descriptor(self, descriptor: Descriptor) -> None:
        path = self._descriptor_path
        try:
            write_descriptor(path, descriptor, read_secret(self.config.secret_file))
        except OSError as error:
            raise ResourceExhausted(f"{path}: the descriptor cannot be written: {error.strerror}") from None

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
        mark = clock_mark()
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
        self.interval.forget()
        with failing("all keys are burnt, and new ones are made as soon as they can be"):
            self.rotation.look(self.now_ns())
            self.interval.begin(self.now_ns())
            self.tick(secret, adopted())
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
    """`ResourceExhausted` as `KeyRotationFailed`, with what holds now."""
    try:
        yield
    except ResourceExhausted as error:
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
