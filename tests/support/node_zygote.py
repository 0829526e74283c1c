"""Real nodes at the price of a fork: one process imports and compiles all of a node, then forks a parent process a request.

Run as a program: reads one JSON line a request from standard input, answers with one on standard output.
`{"config": {...}, "kills": [place, least, most] or null}` → the pid of the node's parent, the leader of its own process group;
With `inside`, a folder, its processes do what files there say (tests/support/inside).
`{"wait": pid}` → its exit code, or null while it lives. With `kills` each data plane kills itself when that place of the road is
passed for a number of times drawn between the two; place 0: before it is ready.
"""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from fastmix.config import IdentityConfig, KeysConfig, MixingConfig, MixnodeConfig
from fastmix.dataplane.plane import DataPlane
from fastmix.errors import FastmixError
from fastmix.process.jit import warm_jit
from fastmix.process.parent import Parent
from fastmix.seam.logs import configure_logs
from fastmix.seam.pair import Pair


def config_of(values: dict[str, Any]) -> MixnodeConfig:
    """The configuration from plain values."""
    paths = {name: Path(values[name]) for name in ("network", "secret_file", "state_dir") if name in values}
    kinds = {"mixing": MixingConfig, "keys": KeysConfig, "identity": IdentityConfig}
    tables = {name: table(**values[name]) for name, table in kinds.items() if name in values}
    return MixnodeConfig(**values | paths | tables)


def killing(place: int, least: int, most: int) -> Any:
    """A hook that arms a fail point."""

    def hook(plane: DataPlane) -> None:
        if place == 0:
            signal.raise_signal(signal.SIGKILL)
        plane.road.kill_at(place, least + os.getpid() % (most - least + 1))

    return hook


def wiping(folder: Path) -> Any:
    """A hook: where the folder has a file `kill-data-wiping`, the data plane kills itself in the middle of wiping a key, once."""

    def hook(_: DataPlane) -> None:
        wipe, order = Pair.wipe_lines, folder / "kill-data-wiping"

        def wipe_half(pair: Pair, *most: int) -> bool:
            if order.exists():
                order.unlink()
                pair.lines[: len(pair.lines) // 2] = 0
                os.kill(os.getpid(), signal.SIGKILL)
            return wipe(pair, *most)

        Pair.wipe_lines = wipe_half  # type: ignore[method-assign]

    return hook


def node(request: dict[str, Any]) -> None:
    """The forked process: a node's parent."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as in a terminal, even if the tests run under nohup
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for fd in (1, 2):
        os.dup2(log, fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code, hook = 9, killing(*request["kills"]) if request.get("kills") else None
    if request.get("inside"):
        os.environ["FASTMIX_TEST_INSIDE"] = request["inside"]
        sys.path.insert(0, str(Path(__file__).parent / "inside"))
        hook = wiping(Path(request["inside"]))
    try:
        config = config_of(request["config"])
        configure_logs(config.log_level, config.node_id, "parent", config.log_format)
        code = Parent(config, hook=hook).run()
    except FastmixError as error:
        print(f"fastmix: {error}", file=sys.stderr, flush=True)
        code = 1
    finally:
        os._exit(code)


def main() -> None:
    """Serves until standard input ends; then no node of its is left."""
    warm_jit()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    alive = set()
    for line in sys.stdin:
        request = json.loads(line)
        answer: int | None
        if "wait" in request:
            pid, status = os.waitpid(request["wait"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
            alive -= {pid}
        else:
            answer = os.fork()
            if answer == 0:
                node(request)
            alive.add(answer)
        print(json.dumps(answer), flush=True)
    for pid in alive:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
