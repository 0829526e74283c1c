"""A node's keys where they rotate: chain, clock, pairs, descriptor. Control's duty, ten times a second."""

import logging
import os
import time
from dataclasses import dataclass, field

from fastmix.config import MixnodeConfig
from fastmix.control.rotation import Rotation
from fastmix.control.snapshot import SnapshotKey, publish_keys
from fastmix.descriptor import Descriptor, identity_public, write_descriptor
from fastmix.errors import ConfigError, ResourceExhausted
from fastmix.files.durable import write_durably
from fastmix.files.durations import duration_ns
from fastmix.files.secret import read_secret
from fastmix.keys.chainfile import ChainFile, chain_path
from fastmix.keys.clock import ClockMark, WallClock
from fastmix.network import Network, end_name
from fastmix.seam.memory import Region
from fastmix.seam.pair import boot_id

log = logging.getLogger(__name__)
HOPS = 3
CLOCK_FILE = "clock"
"""In state_dir: what both clocks showed when keys were last looked after."""
MARK_NS = 1_000_000_000
LOCK_PATIENCE_S = 3.0


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
    described_ns: int = 0
    marked_ns: int = 0

    def begin(self) -> list[SnapshotKey]:
        """The keys to begin with. `FastmixError` where chain, pairs or descriptor cannot be had."""
        config, mark = self.config, clock_mark()
        assert config.keys is not None
        check_keys(self.network, config)
        self.policy = config.keys.policy
        before = self._last_mark()
        burn = before is None or before.has_parted(mark)
        self.clock = WallClock(mark.unix_ns, mark.boot_ns)
        now_ns = self.clock.read(mark.unix_ns, mark.boot_ns)
        path = chain_path(config.keys.chain, config.secret_file.parent, config.state_dir)
        path = path.with_name(f"{path.name}-{config.number}")
        found = ChainFile.open(path, wait_s=LOCK_PATIENCE_S)
        chain = found or ChainFile.create(path, self.policy.times.live(now_ns)[0], wait_s=LOCK_PATIENCE_S)
        self.rotation = Rotation(config.state_dir, self.policy.times, config.replay_capacity, chain)
        self.rotation.begin(now_ns, fresh=found is None, burn=burn)
        self._mark(mark)
        self.rotation.look(now_ns)
        self._describe(now_ns)
        self.published = self.rotation.keys(now_ns, self.clock.boot_ns_at(now_ns))
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

    def tick(self, secret: Region, adopted: int) -> None:
        """Makes what is due and publishes it once the data plane has `adopted` the generation before. `FastmixError`: later."""
        mark = clock_mark()
        now_ns = self.clock.read(mark.unix_ns, mark.boot_ns)
        try:
            self.rotation.look(now_ns)
        finally:
            keys = self.rotation.keys(now_ns, self.clock.boot_ns_at(now_ns))
            behind = [key.id for key in keys] != [key.id for key in self.published]
            if behind and adopted == int(secret["snapshot"]["generation"][0]):
                publish_keys(secret, keys)
                self.published = keys
                log.info("keys of slots %s are live or will be soon", ", ".join(str(key.slot) for key in keys))
        self._mark(mark)
        if now_ns - self.described_ns >= duration_ns(self.policy.interval):
            self._describe(now_ns)

    def _describe(self, now_ns: int) -> None:
        """Publishes the descriptor for an interval and what is beyond it."""
        first, publics = self.rotation.publics(now_ns, self.policy.horizon)
        until_ns = now_ns + duration_ns(self.policy.interval) + duration_ns(self.policy.overlap_period)
        descriptor = Descriptor(self.config.number, self.policy.times, first, tuple(publics), until_ns)
        path = self.network.path.parent / self.network.node(self.config.number).descriptor
        try:
            write_descriptor(path, descriptor, read_secret(self.config.secret_file))
        except OSError as error:
            raise ResourceExhausted(f"{path}: the descriptor cannot be written: {error.strerror}") from None
        self.described_ns = now_ns
