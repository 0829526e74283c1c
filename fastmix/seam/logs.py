"""Where a process of a node logs: lines on standard error, with the node's and the process's name."""

import logging
import sys


def configure_logs(level: str, node_id: str, process: str) -> None:
    """One handler for the whole process."""
    form = f"%(asctime)s %(levelname)-7s {node_id} {process}: %(message)s"
    logging.basicConfig(level=level.upper(), stream=sys.stderr, format=form, force=True)
