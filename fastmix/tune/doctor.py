"""Looks a machine over: what it is, what it can do, and what slows a node or keeps it from starting, each with a remedy."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isinf

from fastmix.bench._stages import core_ghz
from fastmix.bench.machine import describe_machine
from fastmix.config import MixnodeConfig
from fastmix.errors import ResourceExhausted
from fastmix.kernels.isa import ISAS, active, supported
from fastmix.network import Network
from fastmix.network_of import network_of
from fastmix.packet.geometry import WAN
from fastmix.profile import Profile
from fastmix.tune.admission import Room, admit
from fastmix.tune.apply import apply_command
from fastmix.tune.capacity import unwraps_per_s
from fastmix.tune.check import ABSENT_HERE, DIFFERS, UNREADABLE, Finding, check
from fastmix.tune.facts import Machine, machine_of
from fastmix.tune.host import Host
from fastmix.tune.settings import setting_named
from fastmix.udp.backends import REMEDIES, has_backend, max_segments

CAP_NET_ADMIN = 12
"""A process that has it is given any receive buffer."""
CLOCK_SAMPLES = 5
SHOWN = (
    "net.core.rmem_max", "net.core.wmem_max", "cpu.governor", "clock.source", "memory.transparent_hugepage", "memory.swap",
    "process.timer_slack", "limit.memlock", "limit.nofile",
)  # fmt: skip
"""Settings that are facts, whatever a profile wants."""


@dataclass(frozen=True, slots=True)
class Caution:
    """What is wrong, and what to do about it."""

    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Report:
    """`facts`: names and texts, in the order to show them; `unwraps_per_s`: of one core."""

    facts: Mapping[str, str]
    isa: str
    core_ghz: float
    unwraps_per_s: int
    warnings: tuple[Caution, ...]


def look_over(profile: Profile, config: MixnodeConfig | None, host: Host) -> Report:
    """Takes a moment: the capacity is measured. `config`: also whether this node will do well here."""
    machine, network = machine_of(host), network_of(config) if config else None
    geometry = network.geometry if network else WAN
    rate = unwraps_per_s(geometry, strict_kx=bool(config and config.strict_kx))
    about = describe_machine()
    ghz = max(core_ghz() for _ in range(CLOCK_SAMPLES))
    facts = {
        "CPU": f"{about['cpu']} ({about['cpu_id']}{', virtual' if about['virtual'] else ''})",
        "kernel, Python": f"Linux {about['kernel']}, {about['python']}",
        "kernels": f"{active().name} (this CPU and build have {', '.join(supported())})",
        "cores": f"{machine.cores}" + ("" if isinf(machine.quota) else f", of which the cgroup pays for {machine.quota:g}"),
        "core clock": f"{ghz:.2f} GHz now",
        "trains": f"{max_segments()} datagrams in one (UDP_SEGMENT, UDP_GRO)" if max_segments() else "none",
        "memory": f"{machine.memory >> 20} MB free for a node",
        **{name: _read(name, host) for name in SHOWN},
        "capacity": f"{rate} unwraps/s a core ({geometry.name}); a node with sockets and links does a quarter to a third less",
    }
    bad = [each for each in check(profile, host) if _is_bad(each, host)]
    warnings = [*_of_kernels(), *_of_sockets(config), *(_of_finding(each, apply_command(profile, host)) for each in bad)]
    if config and network:
        room = Room.of(config.state_dir, host)
        warnings += [*_of_node(config, machine, host), *_of_replay_sets(config, network, rate, room, facts)]
    return Report(facts, active().name, round(ghz, 2), rate, tuple(warnings))


def _read(name: str, host: Host) -> str:
    setting = setting_named(name)
    found = []
    for place in setting.places(host):
        try:
            found.append(setting.read(host, place))
        except OSError:
            continue
    return ", ".join(sorted(set(found))) or ABSENT_HERE


def _is_bad(finding: Finding, host: Host) -> bool:
    """Buffers do not matter to a process that is given any."""
    return finding.state in (DIFFERS, UNREADABLE) and not (finding.wish.setting.endswith("mem_max") and _may(CAP_NET_ADMIN, host))


def _of_finding(finding: Finding, command: str) -> Caution:
    remedy = finding.remedy or f"as root: {command}"
    return Caution(f"{finding.name} is {finding.found}, wanted {finding.wish.wanted}: {finding.cost}", remedy)


def _of_kernels() -> list[Caution]:
    best, used = supported()[-1], active().name
    if used != best:
        problem = f"the kernels are {used}, but this CPU and build have {best}, which is faster"
        return [Caution(problem, 'unset FASTMIX_ISA, or set isa = "auto"')]
    if used == ISAS[0]:
        remedy = "run the node on a CPU with AVX2 or better; if this one has it, build fastmix anew here"
        return [Caution("only the portable kernels run here: a seventh of what AVX-512 IFMA does", remedy)]
    return []


def _of_sockets(config: MixnodeConfig | None) -> list[Caution]:
    found = []
    if not has_backend("gso"):
        problem = f"{REMEDIES['gso']}: 1.1 us to move a packet in and out instead of 0.2, where neighbours send trains"
        found.append(Caution(problem, "run the node on a newer kernel, outside of a sandbox that emulates one"))
    if config and not (config.io == "auto" or has_backend(config.io)):
        found.append(Caution(f'io = "{config.io}" does not work here, so the node does not start', 'set io = "auto"'))
    return found


def _of_node(config: MixnodeConfig, machine: Machine, host: Host) -> list[Caution]:
    """What of a configuration does not fit the machine."""
    found = []
    if config.workers > machine.usable_cores:
        problem = f"workers is {config.workers}, but the node may use {min(machine.cores, machine.quota):g} cores"
        found.append(Caution(problem, f"set workers = {machine.usable_cores}, or give it more cores"))
    if config.isa not in ("auto", *supported()):
        found.append(Caution(f'isa = "{config.isa}" does not run here, so the node does not start', 'set isa = "auto"'))
    if missing := set(config.cores) - os.sched_getaffinity(0):
        problem = f"cores names CPU {min(missing)}, which this process may not use, so the node does not start"
        found.append(Caution(problem, "correct cores, or leave it out"))
    if len(set(config.cores)) < len(config.cores):
        found.append(Caution("cores names a CPU twice: its workers take turns there", "give each worker a CPU of its own"))
    most = int(_read("net.core.rmem_max", host)) if _read("net.core.rmem_max", host).isdigit() else config.receive_buffer
    if config.receive_buffer > most and not _may(CAP_NET_ADMIN, host):
        by_hand = (
            setting_named("net.core.rmem_max").remedy(host, "") or f"as root: sysctl net.core.rmem_max={config.receive_buffer}"
        )
        remedy = f"{by_hand}; or grant the node CAP_NET_ADMIN"
        found.append(Caution(f"receive_buffer is {config.receive_buffer}, but the kernel gives {most} bytes at most", remedy))
    return found


def _of_replay_sets(config: MixnodeConfig, network: Network, rate: int, room: Room, facts: dict[str, str]) -> Iterator[Caution]:
    """What they admit, among the facts; and where there is no room for them, and the pool."""
    try:
        admission = admit(config, network, rate, room)
    except ResourceExhausted as error:
        problem, _, remedy = str(error).rpartition(": ")
        yield Caution(f"{problem}, so the node does not start", remedy)
        return
    facts["replay sets"] = admission.text
    need = config.pool_slots * network.geometry.row_stride + admission.size
    if need > (memory := room.in_memory + room.taken):
        remedy = "lower pool_slots or replay_capacity, or give it more memory"
        yield Caution(f"pool and replay sets take {need >> 20} MB of the {memory >> 20} MB that are free", remedy)
    elif admission.problem:
        yield Caution(*admission.problem)


def _may(capability: int, host: Host) -> bool:
    """Whether this process has a capability; root outside of containers has all."""
    try:
        row = next(line for line in host.read("proc/self/status").splitlines() if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return os.geteuid() == 0
    return bool(int(row.split()[1], 16) >> capability & 1)
