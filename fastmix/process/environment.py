"""The environment of the node's processes."""

import os
import sys


def child_environment() -> dict[str, str]:
    """This environment, with the import path as this process has it."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
