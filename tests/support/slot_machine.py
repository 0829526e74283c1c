"""A node's slot keys on a machine whose clocks a test moves."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from fastmix.config import IdentityConfig, KeysConfig, MixingConfig, MixnodeConfig
from fastmix.control.identity import NodeIdentity
from fastmix.control.slot_keys import SlotKeyDuty
from fastmix.control.snapshot import publish_keys, published_keys
from fastmix.descriptor import Descriptor, read_descriptor
from fastmix.keys.clock import ClockMark
from fastmix.plan import NetworkPlan, passphrase_path, plan_network, store_path
from fastmix.seam.memory import Region, create_memory, kept_sections, secret_sections
from fastmix.seam.pair import boot_id, open_pair, pair_files

S = 1_000_000_000
HOUR = 3600 * S
SLOT = 600 * S
START = 1_800_000_000 * S + 200 * S
"""200 s into a slot: the one before is over, the next one not made yet."""
KEYS = KeysConfig(interval=timedelta(hours=24), chain="disk")
SETTLE_NS = 600 * S


@dataclass
class Machine:
    """A node's keys, and both clocks of its machine."""

    plan: NetworkPlan
    folder: Path
    unix_ns: int = START
    boot_ns: int = 5000 * S
    keys: KeysConfig = KEYS
    given: dict[bytes, bytes] = field(default_factory=dict)
    """Of every key that was ever live, its replay set."""

    def __post_init__(self) -> None:
        directory = self.plan.network.path.parent
        store = store_path(directory, 0)
        self.keys_dir = store.parent
        self.config = MixnodeConfig(
            number=0, network=self.plan.network.path,
            identity=IdentityConfig(store=store, passphrase_file=passphrase_path(store)), state_dir=self.folder,
            replay_capacity=1024, keys=self.keys, mixing=MixingConfig(max_latency=timedelta(milliseconds=100)),
        )  # fmt: skip
        self.identity = NodeIdentity(
            self.config, self.plan.network, Region(create_memory("fastmix-kept", kept_sections()), kept_sections())
        )
        self.secret = Region(create_memory("fastmix-test", secret_sections()), secret_sections())
        self.begin()

    def clocks(self) -> ClockMark:
        return ClockMark(self.unix_ns, self.boot_ns, boot_id())

    def begin(self, *, resumed: bool = False) -> None:
        """A control of the node, as after a kill of the one before."""
        if hasattr(self, "duty"):
            self.duty.rotation.chain.close()
        self.duty = SlotKeyDuty(self.config, self.plan.network, self.identity, clocks=self.clocks)
        if resumed:
            self.duty.take_over(published_keys(self.secret))
            self.tick()
        else:
            publish_keys(self.secret, self.duty.begin())
        self.note()

    def after(self, elapsed_ns: int, step_ns: int = 0) -> None:
        """So much passes, a second at a time at most 100 looks; then the wall clock is set by `step_ns`."""
        for _ in range(100 if elapsed_ns else 0):
            self.unix_ns += elapsed_ns // 100
            self.boot_ns += elapsed_ns // 100
            self.tick()
        self.unix_ns += step_ns
        self.tick()

    def tick(self) -> None:
        self.duty.tick(self.secret, int(self.secret["snapshot"]["generation"][0]))
        self.note()

    def note(self) -> None:
        """No key has a second replay set: that is what could let a packet in twice."""
        for path in pair_files(self.folder):
            pair = open_pair(path)
            assert self.given.setdefault(pair.public, pair.set_id) == pair.set_id

    def live(self) -> list[int]:
        """Slots whose keys are accepted now, by boot time."""
        return [key.slot for key in self.duty.published if key.from_ns <= self.boot_ns < key.until_ns]

    def publics(self) -> set[bytes]:
        return {open_pair(path).public for path in pair_files(self.folder)}

    def descriptor(self) -> Descriptor:
        node = self.plan.network.node(0)
        return read_descriptor(self.plan.network.path.parent / node.descriptor, 0, node.identity, 0)


def machine_in(folder: Path, keys: KeysConfig = KEYS, unix_ns: int = START) -> Machine:
    plan = plan_network([[("127.0.0.1", 1 + at)] for at in range(3)], rotates=True).write(folder / "network")
    (folder / "state").mkdir(mode=0o700)
    return Machine(plan, folder / "state", unix_ns, keys=keys)
