"""`fastmix health`: what is wrong with a running node, and what to do."""

from pathlib import Path

from fastmix.cli.output import print_json, print_table
from fastmix.cli.status import start_of, state_dir_of
from fastmix.control.ask import ask
from fastmix.status import Health


def health(node: Path, /, *, json: bool = False) -> int:
    """Ask a running node what is wrong with it: exit code 0 if nothing is, 1 otherwise.

    Parameters
    ----------
    node
        The node's configuration file, or its state directory.
    json
        Print one JSON object.
    """
    state_dir = node if node.is_dir() else state_dir_of(node)
    found = Health.from_dict(ask(state_dir, "health", start=start_of(node)))
    if json:
        print_json(found.to_dict())
    else:
        print(found.overall.value)
        print_table(((issue.status.value, issue.name, f"{issue.problem}: {issue.remedy}") for issue in found.issues), wrap=True)
    return int(bool(found.issues))
