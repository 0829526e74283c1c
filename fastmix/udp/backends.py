"""The ways to move datagrams through a socket, and which of them this machine has.

| name     | how | in and out, a packet |
|----------|-----|---|
| `gso`    | trains: UDP_GRO in, UDP_SEGMENT out, to one next hop each | 0.2 us at 20 next hops, 1.2 us from senders without |
| `mmsg`   | recvmmsg and sendmmsg | 1.1 us |
| `socket` | Python's `socket`, one by one, with the GIL | 3.4 us |
"""

import functools

from fastmix.errors import ConfigError
from fastmix.udp import _gso, _mmsg

BACKENDS = ("gso", "mmsg", "socket")
"""The fastest first."""
REMEDIES = {
    "gso": "this kernel sends or receives no trains over loopback (UDP_SEGMENT and UDP_GRO, Linux 5.0)",
    "mmsg": "this kernel has no recvmmsg",
}


@functools.cache
def max_segments() -> int:
    """The most datagrams in a train that is sent; 0 where this machine has no trains."""
    return _gso.probe()


def has_backend(name: str) -> bool:
    """Whether this machine can use the backend; tried, not guessed."""
    if name == "gso":
        return max_segments() > 0
    return name == "socket" or (name == "mmsg" and _mmsg.probe())


def choose_backend(wanted: str) -> str:
    """The backend of that name; for "auto" the fastest that works here. `ConfigError` where it does not."""
    if wanted == "auto":
        return next(name for name in BACKENDS if has_backend(name))
    if not has_backend(wanted):
        raise ConfigError(f'io = "{wanted}": {REMEDIES[wanted]}: use io = "auto"')
    return wanted
