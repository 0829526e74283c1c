"""What `fastmix run` without a file and `fastmix network init|join` have in common: a home, prepared."""

import fcntl
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from fastmix.home.child import in_child
from fastmix.home.lock import CONFIG, Taken, take_home

if TYPE_CHECKING:
    from fastmix.config import MixnodeConfig

DRAIN_WAIT_S = 10.0
"""So long ports of a predecessor that was killed may be held by what drains after it."""
LOOK_S = 0.05
Port = Annotated[int | None, Parameter(validator=Number(gte=1, lte=65535))]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """How a node is set up that has no configuration yet."""

    address: str | None = None
    """The IP address by which others reach this node. By default the one that this machine has toward the bootstrap node."""
    port: Port = None
    """Where datagrams come in. By default 9000, or the next free one."""
    control_port: Port = None
    """Where others ask, over TLS. By default 9100, or the next free one."""
    allow_swap: bool = False
    """Take memory that may be swapped, or a disk, for keys that must never be on one: for a try."""


START = StartOptions()
"""Nothing said."""


def prepare(home: Taken, bootstrap: tuple[str, ...], options: StartOptions, *, trust_first: bool = False) -> tuple[Path, bool]:
    """The configuration in a home, made where there is none, and whether it was. `FastmixError` says what is wrong."""
    return home.path / CONFIG, in_child(partial(_prepare, home.path, bootstrap, options, trust_first))


def _prepare(home: Path, bootstrap: tuple[str, ...], options: StartOptions, trust_first: bool) -> bool:
    """In a process of its own, as it meets the identity's seed."""
    from fastmix.cli.keys_store import actor
    from fastmix.home.files import make_files
    from fastmix.home.wishes import read_wishes
    from fastmix.seam.lifeline import keep_unseen

    keep_unseen()
    wishes = read_wishes(
        bootstrap,
        trust_first=trust_first,
        address=options.address,
        port=options.port,
        control_port=options.control_port,
        allow_swap=options.allow_swap,
    )
    return make_files(home, wishes, actor())


def tell(config: "MixnodeConfig", path: Path, options: str) -> None:
    """Says who the node is and how others come in. `options`: what `fastmix network token` needs to find it."""
    from fastmix.home.telling import Speaker

    in_child(partial(Speaker.of(config, path).tell, f"fastmix network token{options}"))


def check_ports(config: "MixnodeConfig") -> None:
    """Waits until what drains after a killed predecessor has let go of them. `NetworkFailure` where somebody else has them."""
    from fastmix.errors import NetworkFailure
    from fastmix.files.addresses import parse_address
    from fastmix.home.machine import NAMES, TCP, UDP, why_taken

    assert config.join is not None
    assert config.listen_addr is not None
    give_up = time.monotonic() + DRAIN_WAIT_S
    for name, text, kind in (("listen_addr", config.listen_addr, UDP), ("control_addr", config.join.control_addr, TCP)):
        while why := why_taken(*parse_address(text), kind):
            if time.monotonic() >= give_up or not drains(config.state_dir):
                raise NetworkFailure(f"{name} {text}: {NAMES[kind]} port {why}")
            time.sleep(LOOK_S)


def drains(state_dir: Path) -> bool:
    """Whether a data plane is at work there, which may have lost its parent."""
    from fastmix.process.state_dir import DATA_LOCK

    try:
        fd = os.open(state_dir / DATA_LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def home_of(directory: Path | None) -> Taken:
    """The home that was named, or the first of this user's whose node does not run."""
    return take_home(directory, os.environ)
