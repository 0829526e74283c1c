"""The settings of a host that profiles may name: where each stands, how it is read and written.

| name | what |
|---|---|
| `net.…`, `vm.…`, `kernel.…` | a sysctl |
| `cpu.governor` | who chooses each CPU's clock |
| `clock.source` | what the kernel reads time from |
| `memory.transparent_hugepage`, `memory.swap` | |
| `interface.gro_flush_timeout` (ns), `interface.napi_defer_hard_irqs`, `interface.irq_affinity` | of each network interface |
| `interface.offload.NAME` | a name of `ethtool -k`, `on` or `off` |
| `process.timer_slack` (ns), `limit.memlock` (bytes), `limit.nofile` | of the process that asks |
"""

import errno
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from fastmix.errors import ConfigError
from fastmix.files.toml import suggestion
from fastmix.profile import HostWish
from fastmix.seam.lifeline import set_timer_slack
from fastmix.tune import ethtool
from fastmix.tune.host import Host

SYSCTL = re.compile(r"(?:net|vm|kernel)(?:\.[a-z0-9_-]+)+")
OFFLOAD = re.compile(r"interface\.offload\.([a-z0-9_-]+)")
ABSENT = (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP, errno.ENXIO)
"""Errors of a setting that this machine has not."""
ELSEWHERE = "set it where this machine is made: in here even root can only read it"
CAP_IPC_LOCK = 14
QUEUE = re.compile(r"rx|input|queue|comp", re.IGNORECASE)
"""In the name of an interrupt that brings packets."""


class Setting(ABC):
    """One kind of setting. `by_hand`: how a person changes what fastmix does not."""

    by_hand = ""

    def places(self, host: Host) -> Sequence[str]:
        """Where the machine has it: names of CPUs or interfaces; one empty name for a setting of the whole machine."""
        return ("",)

    @abstractmethod
    def read(self, host: Host, place: str) -> str:
        """Its value there. `OSError`; one of `ABSENT` where there is none."""

    def write(self, host: Host, place: str, value: str) -> None:
        """Changes it. `OSError` with the kernel's reason."""
        raise OSError(errno.EROFS, "is not for fastmix to change")

    def remedy(self, host: Host, place: str) -> str:
        """How a person changes it there, where fastmix does not; empty where it does."""
        return self.by_hand

    def fits(self, host: Host, wish: HostWish, found: str) -> bool:
        """Whether a value is what a profile wants."""
        if isinstance(wish.value, tuple):
            return found in wish.value
        if wish.rule == "equal":
            return found == str(wish.value)
        number = float("inf") if found == "unlimited" else float(found) if found.isdigit() else None
        return number is not None and (number >= int(wish.value) if wish.rule == "at least" else number <= int(wish.value))

    def goal(self, host: Host, place: str, wish: HostWish) -> str:
        """The value to write so that the wish is met."""
        return wish.value[0] if isinstance(wish.value, tuple) else str(wish.value)


class File(Setting):
    """A file of the kernel's; `{}` in its name is the place. A list of choices shows the one in force in brackets."""

    def __init__(self, path: str, by_hand: str = "") -> None:
        self.path, self.by_hand = path, by_hand

    def places(self, host: Host) -> Sequence[str]:
        """One, or each CPU or interface that has the file."""
        if "{}" not in self.path:
            return ("",)
        names = host.interfaces if "/net/" in self.path else [f"cpu{number}" for number in host.cpus]
        return [name for name in names if (host.root / self.path.format(name)).exists()]

    def read(self, host: Host, place: str) -> str:
        """Numbers one space apart."""
        text = host.read(self.path.format(place))
        chosen = re.search(r"\[([^\]]+)\]", text)
        return chosen[1] if chosen else " ".join(text.split())

    def remedy(self, host: Host, place: str) -> str:
        """Where even root only reads it, another than for who can write it."""
        return self.by_hand if host.can_write(self.path.format(place)) else ELSEWHERE

    def write(self, host: Host, place: str, value: str) -> None:
        """As it stands."""
        host.write(self.path.format(place), value)


class Offload(Setting):
    """An offload of each network interface."""

    def __init__(self, name: str) -> None:
        self.name = name

    def places(self, host: Host) -> Sequence[str]:
        """The interfaces."""
        return host.interfaces

    def read(self, host: Host, place: str) -> str:
        """`on` or `off`."""
        return ethtool.read_offload(place, self.name)

    def write(self, host: Host, place: str, value: str) -> None:
        """Switches it."""
        ethtool.write_offload(place, self.name, value)


class IrqAffinity(Setting):
    """Which CPUs the receive interrupts of an interface go to: `40:0-3 41:0-3`. Wanted: `spread`, each queue a CPU of its own."""

    def places(self, host: Host) -> Sequence[str]:
        """The interfaces with several queues, on machines with several CPUs: elsewhere there is nothing to spread."""
        return [name for name in host.interfaces if len(self._irqs(host, name)) > 1 < len(host.cpus)]

    def read(self, host: Host, place: str) -> str:
        """Interrupt and CPUs, of each queue."""
        return " ".join(f"{irq}:{host.read(f'proc/irq/{irq}/smp_affinity_list')}" for irq in self._irqs(host, place))

    def remedy(self, host: Host, place: str) -> str:
        """As that of a file."""
        files = [f"proc/irq/{irq}/smp_affinity_list" for irq in self._irqs(host, place)]
        return "" if all(host.can_write(each) for each in files) else ELSEWHERE

    def write(self, host: Host, place: str, value: str) -> None:
        """Takes what `read` gives."""
        for pair in value.split():
            irq, _, cpus = pair.partition(":")
            if irq not in map(str, self._irqs(host, place)):
                raise OSError(errno.ENOENT, f"{place} has no interrupt {irq}")
            host.write(f"proc/irq/{irq}/smp_affinity_list", cpus)

    def fits(self, host: Host, wish: HostWish, found: str) -> bool:
        """Whether every queue has one CPU, and as many CPUs as possible serve them."""
        cpus = [pair.partition(":")[2] for pair in found.split()]
        return all(each.isdigit() for each in cpus) and len(set(cpus)) == min(len(cpus), len(host.cpus))

    def goal(self, host: Host, place: str, wish: HostWish) -> str:
        """The queues in turn on the CPUs in turn."""
        cpus = host.cpus
        return " ".join(f"{irq}:{cpus[at % len(cpus)]}" for at, irq in enumerate(self._irqs(host, place)))

    def _irqs(self, host: Host, place: str) -> list[int]:
        device = (host.root / "sys/class/net" / place / "device").resolve()
        folders = (device / "msi_irqs", device.parent / "msi_irqs")  # a virtio device's are those of the PCI device around it
        found = next((folder for folder in folders if folder.is_dir()), None)
        numbers = sorted(int(path.name) for path in found.iterdir() if path.name.isdigit()) if found else []
        return [irq for irq in numbers if any(QUEUE.search(name) for name in self._actions(host, irq))]

    def _actions(self, host: Host, irq: int) -> list[str]:
        """The names of an interrupt's users: directories of its own in /proc."""
        return [name for name in host.names(f"proc/irq/{irq}") if (host.root / f"proc/irq/{irq}" / name).is_dir()]


class Limit(Setting):
    """The hard limit of this process, which a node that it starts inherits."""

    def __init__(self, row: str, by_hand: str) -> None:
        self.row, self.by_hand = row, by_hand

    def read(self, host: Host, place: str) -> str:
        """A number, or `unlimited`; so is the lock limit of a process that may lock any memory (CAP_IPC_LOCK)."""
        if self.row == "Max locked memory":
            capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)", host.read("proc/self/status"), re.MULTILINE)
            if capabilities and int(capabilities[1], 16) >> CAP_IPC_LOCK & 1:
                return "unlimited"
        found = re.search(rf"^{self.row}\s+\S+\s+(\S+)", host.read("proc/self/limits"), re.MULTILINE)
        if not found:
            raise OSError(errno.ENOENT, "no such limit")
        return found[1]


class Swap(Setting):
    """Whether the kernel has a swap area."""

    by_hand = "swapoff -a, and take swap out of /etc/fstab; or start the node in a cgroup with memory.swap.max = 0"

    def read(self, host: Host, place: str) -> str:
        """`none`, or how many KiB."""
        rows = host.read("proc/swaps").splitlines()[1:]
        return f"{sum(int(row.split()[2]) for row in rows)} KiB" if rows else "none"


class TimerSlack(Setting):
    """The slack, in ns, that this process gets when it asks for 1,000 ns, as a node does."""

    by_hand = "look what confines the process: prctl(PR_SET_TIMERSLACK) is refused"

    def read(self, host: Host, place: str) -> str:
        """Asks, and puts it back."""
        before = set_timer_slack(1_000)
        return str(set_timer_slack(before))


SETTINGS: dict[str, Setting] = {
    "cpu.governor": File("sys/devices/system/cpu/{}/cpufreq/scaling_governor"),
    "clock.source": File(
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        by_hand="the kernel has turned away from a quicker clock: see `dmesg | grep -i clocksource` before you write it there",
    ),
    "memory.transparent_hugepage": File("sys/kernel/mm/transparent_hugepage/enabled"),
    "memory.swap": Swap(),
    "interface.gro_flush_timeout": File("sys/class/net/{}/gro_flush_timeout"),
    "interface.napi_defer_hard_irqs": File("sys/class/net/{}/napi_defer_hard_irqs"),
    "interface.irq_affinity": IrqAffinity(),
    "process.timer_slack": TimerSlack(),
    "limit.memlock": Limit("Max locked memory", "`ulimit -l` before the start, or LimitMEMLOCK= in the unit file"),
    "limit.nofile": Limit("Max open files", "`ulimit -Hn` before the start, or LimitNOFILE= in the unit file"),
}
"""All but sysctls and offloads, by name."""


def setting_named(name: str) -> Setting:
    """The setting of a name; `ConfigError` where none has it."""
    if name in SETTINGS:
        return SETTINGS[name]
    if SYSCTL.fullmatch(name):
        return File("proc/sys/" + name.replace(".", "/"))
    if found := OFFLOAD.fullmatch(name):
        return Offload(found[1])
    hint = suggestion(name, SETTINGS)
    raise ConfigError(f"{name!r} is not a setting of a host: {hint}, and sysctls (net.…, vm.…, kernel.…), interface.offload.NAME")
