"""On what a figure was measured: CPU, instruction sets, versions. Nothing that names the machine's owner."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastmix.bench.sodium import find_sodium

PACKAGES = ("fastmix", "numpy", "numba", "cryptography", "pycryptodome", "pynacl")


def describe_machine() -> dict[str, Any]:
    """CPU model, cores, instruction sets, kernel, versions; strings and numbers only."""
    from fastmix.kernels.isa import active, supported

    sodium = find_sodium()
    return {
        "cpu": cpu_model(),
        "cpu_id": cpu_id(),
        "cores": len(os.sched_getaffinity(0)),
        "isas": list(supported()),
        "isa": active().name,
        "virtual": "hypervisor" in cpu_flags(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libsodium": sodium.version if sodium else None,
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cpu_model() -> str:
    """The CPU's name as it gives it; in a virtual machine often a vague one."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def cpu_id() -> str:
    """Vendor, family, model, stepping."""
    info = _cpuinfo()
    return " ".join(info.get(name, "?") for name in ("vendor_id", "cpu family", "model", "stepping"))


def cpu_flags() -> frozenset[str]:
    """The features that the kernel shows."""
    return frozenset(_cpuinfo().get("flags", "").split())


def is_intel() -> bool:
    """True on an Intel CPU, whose counted floors are known (`fastmix.bench.kernels.FLOORS`)."""
    return _cpuinfo().get("vendor_id") == "GenuineIntel"


def short_name(machine: dict[str, Any]) -> str:
    """The machine in one line, for a table's caption."""
    where = "virtual, " if machine["virtual"] else ""
    return (
        f"{machine['cpu']} ({machine['cpu_id']}; {where}{machine['cores']} cores), kernels {machine['isa']}, "
        f"Linux {machine['kernel']}, Python {machine['python']}"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        module = sys.modules.get(name)
        return getattr(module, "__version__", None)
