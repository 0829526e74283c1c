"""Where a process of a node logs: lines on standard error, with the node's and the process's name; and how it tells its owner."""

import json
import logging
import os
import sys


def configure_logs(level: str, node_id: str, process: str) -> None:
    """One handler for the whole process."""
    form = f"%(asctime)s %(levelname)-7s {node_id} {process}: %(message)s"
    logging.basicConfig(level=level.upper(), stream=sys.stderr, format=form, force=True)


def tell_owner(owner_fd: int | None, error: Exception) -> None:
    """Sends the error that ends the node to the program that started it, if one did."""
    if owner_fd is not None:
        os.write(owner_fd, json.dumps({"error": str(error), "kind": type(error).__name__}).encode() + b"\n")
