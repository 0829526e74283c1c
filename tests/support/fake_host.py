"""A machine as files below a directory: four CPUs with governors, a network card with two queues, swap, limits."""

import os
from pathlib import Path

from fastmix.tune.host import Host

FILES = {
    "proc/sys/net/core/rmem_max": "212992",
    "proc/sys/net/core/wmem_max": "212992",
    "proc/sys/net/core/netdev_max_backlog": "1000",
    "proc/sys/net/ipv4/udp_mem": "4096\t5000\t9000",
    "proc/sys/kernel/random/boot_id": "one",
    "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1000 0 -2\n/dev/sda3 partition 24 0 -3",
    "proc/self/limits": "Limit  Soft  Hard\nMax open files  1024  4096  files\nMax locked memory  65536  65536  bytes",
    "proc/self/status": "Name:\tx\nCapEff:\t0000000000000000",
    "proc/self/cgroup": "0::/a/b",
    "proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable:    2000000 kB",
    "sys/fs/cgroup/a/cpu.max": "150000 100000",
    "sys/fs/cgroup/a/b/cpu.max": "max 100000",
    "sys/fs/cgroup/a/b/memory.max": "1000000000",
    "sys/fs/cgroup/a/b/memory.current": "400000000",
    "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet",
    "sys/class/net/eth9/gro_flush_timeout": "0",
    "sys/class/net/eth9/napi_defer_hard_irqs": "0",
    "sys/class/net/lo/gro_flush_timeout": "0",
    "sys/class/net/bonding_masters": "",
    "sys/devices/pci0/virtio0/vendor": "0x1af4",
    "sys/devices/pci0/msi_irqs/40": "msix",
    "sys/devices/pci0/msi_irqs/41": "msix",
    "sys/devices/pci0/msi_irqs/42": "msix",
    "proc/irq/40/smp_affinity_list": "0-3",
    "proc/irq/41/smp_affinity_list": "0-3",
    "proc/irq/42/smp_affinity_list": "0-3",
}
FOLDERS = ("proc/irq/40/virtio0-config", "proc/irq/41/virtio0-input.0", "proc/irq/42/virtio0-input.1")
REFUSES = "/proc/self/oom_score_adj"
"""A file that everybody may write, but no number above 1,000."""
NO_WRITING = "/proc/sys/kernel/ngroups_max"
"""A file that nobody can write, not even root."""


def make_host(root: Path, **more: str) -> Host:
    """The machine; `more`: sysctls with `__` for dots."""
    for cpu in range(4):
        write(root, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", "powersave")
    for name, text in FILES.items():
        write(root, name, text)
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    os.symlink("../../../devices/pci0/virtio0", root / "sys/class/net/eth9/device")
    for name, text in more.items():
        write(root, "proc/sys/" + name.replace("__", "/"), text)
    return Host(root)


def write(root: Path, name: str, text: str) -> None:
    """One file."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
