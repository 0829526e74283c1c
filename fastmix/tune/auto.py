"""Finds a profile for this machine: measures for a moment what its cores and its loopback do, and writes down what follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastmix.kernels.isa import supported
from fastmix.packet.geometry import WAN
from fastmix.profile import load_profile
from fastmix.tune.capacity import unwraps_per_s
from fastmix.tune.facts import Machine, machine_of
from fastmix.tune.host import Host
from fastmix.tune.loopback import loopback_ns

BATCHES = (32, 64, 128, 256)
NEAR = 0.97
"""A batch that reaches so much of the best rate is long enough."""
CLEAR = 1.1
"""A batch that brings so many times the rate of the profile's is worth another one: less is within what a measurement errs, and
short batches cost more a packet outside of the unwrap."""
SMALL_MEMORY = 1 << 30
"""Bytes; below, a node is one of a small host."""
NODE_SHARE = 0.8
"""Of the unwraps that a core can do a node passes 63 to 73 % on; this is more, so that replay set and pool are large enough."""
KEY_LIFE_S = 780
"""The longest life of a slot's key: ten minutes and both graces. The replay set remembers every packet of it."""
REPLAY_BYTES = 6.4
"""A packet's tag in the replay set."""
MEMORY_SHARE = 4
"""The replay set takes at most this part of the memory: one fourth."""
WORKERS_MOST = 16
"""As many as a node takes."""
POOL_S = 0.1
"""Twice the default mean delay: so much of the traffic has room in the pool."""
POOL_LEAST, POOL_MOST = 4096, 1 << 18


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found. `by_isa`: unwraps/s of a core; `by_batch`: the same of the best instruction set, by batch;
    `loopback_ns`: one datagram sent and received, by backend.
    """

    machine: Machine
    by_isa: Mapping[str, int]
    by_batch: Mapping[int, int]
    loopback_ns: Mapping[str, int]

    @property
    def io(self) -> str:
        """The backend that moves a datagram in the least time."""
        return min(self.loopback_ns, key=lambda name: self.loopback_ns[name])

    @property
    def isa(self) -> str:
        """The fastest instruction set."""
        return max(self.by_isa, key=lambda name: self.by_isa[name])

    @property
    def batch(self) -> int:
        """The shortest batch that is nearly as fast as any."""
        enough = NEAR * max(self.by_batch.values())
        return min(batch for batch, rate in self.by_batch.items() if rate >= enough)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A profile that lies over a named one. `node`: settings that differ from it; `why`: reasons, also for `based_on`."""

    based_on: str
    node: Mapping[str, int | str]
    why: Mapping[str, str] = field(default_factory=dict)

    def to_toml(self, purpose: str) -> str:
        """The text of a profile file."""
        lines = [f'purpose = "{purpose}"', f'based_on = "{self.based_on}"  # {self.why["based_on"]}', "", "[node]"]
        for name, value in self.node.items():
            shown = f'"{value}"' if isinstance(value, str) else str(value)
            lines.append(f"{name} = {shown}  # {self.why[name]}")
        return "\n".join(lines) + "\n"


def measure(host: Host) -> Measured:
    """Takes half a second."""
    by_isa = {name: unwraps_per_s(WAN, name) for name in supported()}
    best = max(by_isa, key=lambda name: by_isa[name])
    by_batch = {batch: unwraps_per_s(WAN, best, batch) for batch in BATCHES}
    return Measured(machine_of(host), by_isa, by_batch, loopback_ns())


def propose(found: Measured) -> Proposal:
    """The named profile that is nearest, and what to change of it."""
    cores, memory = found.machine.usable_cores, found.machine.memory
    small = cores == 1 and memory < SMALL_MEMORY
    base = "small-host" if small else "single-thread" if cores == 1 else "optimized" if found.io == "gso" else "multi-threaded"
    why = {"based_on": f"{cores} {'core' if cores == 1 else 'cores'}, {memory >> 20} MB"}
    workers = cores if cores <= 2 else min(cores - 1, WORKERS_MOST)
    messages = int(NODE_SHARE * found.by_isa[found.isa] * workers)
    node: dict[str, int | str] = {"workers": workers}
    why["workers"] = "all cores" if workers == cores else f"{cores} cores, of which the mixer keeps one"
    settled = load_profile(base).node
    usual = _rate_near(int(str(settled["receive_batch"])), found.by_batch)
    if found.by_batch[found.batch] >= CLEAR * usual:
        node["receive_batch"] = found.batch
        why["receive_batch"] = f"{found.by_batch[found.batch]:,} unwraps/s a core; {usual:,} with the profile's"
    if settled.get("io") not in ("auto", found.io):
        node["io"] = found.io
        why["io"] = ", ".join(f"{name} {ns:,}" for name, ns in found.loopback_ns.items()) + " ns a datagram in and out"
    if found.isa != supported()[-1]:
        node["isa"] = found.isa
        why["isa"] = f"{found.by_isa[found.isa]:,} unwraps/s a core, {supported()[-1]} {found.by_isa.get(supported()[-1], 0):,}"
    need, room = messages * KEY_LIFE_S, int(memory / MEMORY_SHARE / REPLAY_BYTES)
    node["replay_capacity"] = capacity = _rounded(min(need, room))
    why["replay_capacity"] = f"{messages:,} packets a second for {capacity // messages} s" + (
        f"; as many as fit into a quarter of the memory, of {need:,}" if room < need else ""
    )
    slots = min(max(1 << (int(POOL_S * messages) - 1).bit_length(), POOL_LEAST), POOL_MOST)
    node["pool_slots"] = slots
    why["pool_slots"] = f"{POOL_S} s at {messages:,} packets a second"
    return Proposal(base, {name: value for name, value in node.items() if settled.get(name) != value}, why)


def _rate_near(batch: int, by_batch: Mapping[int, int]) -> int:
    """The rate of the measured batch that is nearest."""
    return by_batch[min(by_batch, key=lambda each: abs(each - batch))]


def _rounded(n: int) -> int:
    """Its first three bits: a node keeps its replay set's size, so a second measurement should come to the same."""
    rest = max(n.bit_length() - 3, 0)
    return max(n >> rest << rest, 1)
