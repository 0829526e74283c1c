"""Was the machine quiet? Each repetition is looked at before and after: stolen time, and a loop whose time should not change."""

import socket
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

STEAL_MAX = 0.02
"""Share of CPU time that the host may give to others."""
REFERENCE_MAX = 0.15
"""By how much the reference loop may differ."""
LATE_MAX = 0.01
"""Share of its schedule that a generator may miss."""
PAIRS = 200


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment: jiffies of all CPUs so far (stolen, in all), and ns of one send and receive over loopback."""

    steal: int
    total: int
    reference_ns: float


def read_noise() -> Reading:
    """Takes 2 to 5 ms."""
    steal, total = cpu_jiffies()
    return Reading(steal, total, loopback_ns())


def cpu_jiffies() -> tuple[int, int]:
    """(stolen, all) jiffies of all CPUs since boot, of /proc/stat; zeros where there is none."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0, 0
    numbers = [int(each) for each in fields]
    return (numbers[7] if len(numbers) > 7 else 0), sum(numbers)


def loopback_ns() -> float:
    """Median ns of a datagram sent and received by one thread."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
        b.bind(("127.0.0.1", 0))
        a.connect(b.getsockname())
        data, times = bytes(1200), []
        for _ in range(PAIRS):
            began = time.perf_counter_ns()
            a.send(data)
            b.recv(2048)
            times.append(time.perf_counter_ns() - began)
    return statistics.median(times)


def complaints(before: Reading, after: Reading, late_share: float = 0.0) -> list[str]:
    """Why what was measured between two readings is noisy; empty if it is not."""
    said = []
    stolen = steal_share(before, after)
    if stolen > STEAL_MAX:
        said.append(f"the host took {stolen:.1%} of the CPU time (at most {STEAL_MAX:.0%})")
    low, high = sorted((before.reference_ns, after.reference_ns))
    if low and high / low - 1 > REFERENCE_MAX:
        said.append(f"the reference loop took {low / 1e3:.1f} and {high / 1e3:.1f} us (at most {REFERENCE_MAX:.0%} apart)")
    if late_share > LATE_MAX:
        said.append(f"the generator sent {late_share:.1%} late (at most {LATE_MAX:.0%})")
    return said


def steal_share(before: Reading, after: Reading) -> float:
    """Stolen share of the CPU time between two readings."""
    total = after.total - before.total
    return (after.steal - before.steal) / total if total > 0 else 0.0
