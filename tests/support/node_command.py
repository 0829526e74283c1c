"""`fastmix run` as a person starts it, on the node of `real_node.py`."""

import os
import subprocess
import sys
from pathlib import Path

from real_node import ROOT, RealNode, group_members, until

FASTMIX = [sys.executable, "-m", "fastmix", "run"]


def write_config(node: RealNode, **changes: str) -> Path:
    """A configuration file for `fastmix run`."""
    values = {
        "number": "1",
        "network": f'"{node.plan.network.path}"',
        "secret_file": f'"{node.plan.secret_path(node.folder / "network", 1)}"',
        "state_dir": f'"{node.state_dir}"',
        "allow_swap": "true",
        "replay_capacity": "100000",
    } | changes
    path = node.folder / "node.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in values.items() if value))
    return path


def fastmix_run(path: Path) -> subprocess.Popen[str]:
    """`fastmix run`, leader of its own process group."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*FASTMIX, str(path)], stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def fastmix_run_begun(path: Path) -> subprocess.Popen[str]:
    """The same, when the interpreter has started: it would answer Ctrl-C during its own imports with a traceback of its own."""
    begun = "import os, sys; os.write(1, b'.'); from fastmix.cli.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", begun, "run", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.read(1) == "."
    return process


def refused(path: Path) -> str:
    """What `fastmix run` says when it must not start."""
    process = fastmix_run(path)
    _, said = process.communicate(timeout=30)
    assert process.returncode in (1, 2)
    assert "Traceback" not in said
    until(lambda: not group_members(process.pid))
    return said
