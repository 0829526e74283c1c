"""The environment of the node's processes."""

import os
import sys

from fastmix.errors import ConfigError
from fastmix.kernels.isa import supported

ISA = "FASTMIX_ISA"


def child_environment(isa: str = "auto") -> dict[str, str]:
    """This environment, with the import path as this process has it, and the kernels that a configuration names."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | wanted_kernels(isa)


def use_kernels(isa: str) -> None:
    """The kernels of `isa` for this process, if it has not chosen any yet, and for those that it starts."""
    os.environ.update(wanted_kernels(isa))


def wanted_kernels(isa: str) -> dict[str, str]:
    """What makes a process that has not imported the kernels yet use those of `isa`, unless the environment names some already.
    `ConfigError` where they do not run here."""
    if isa == "auto" or os.environ.get(ISA):
        return {}
    if isa not in supported():
        raise ConfigError(f'isa = "{isa}": this build and CPU have {", ".join(supported())}: name one of these, or "auto"')
    return {ISA: isa}
