"""Entry of a node that a program starts: `python -m fastmix.process CONFIG_FD OWNER_FD`, executed by `Mixnode.start`."""

import os
import pickle
import sys

from fastmix.errors import FastmixError, KeyStoreError
from fastmix.process.data import EXIT_KEYS
from fastmix.process.parent import run
from fastmix.seam.logs import tell_owner


def main() -> int:
    """Runs the node; an error that keeps it from starting is told to the owner."""
    config_fd, owner_fd = int(sys.argv[1]), int(sys.argv[2])
    try:
        with os.fdopen(config_fd, "rb") as file:
            config = pickle.load(file)
        return run(config, owner_fd=owner_fd)
    except FastmixError as error:
        tell_owner(owner_fd, error)
        return EXIT_KEYS if isinstance(error, KeyStoreError) else 1


if __name__ == "__main__":
    sys.exit(main())
