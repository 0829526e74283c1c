"""The configuration of a node that nobody has configured, as a person can read and edit it."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from fastmix.files.addresses import format_address
from fastmix.files.toml import toml_text
from fastmix.home.machine import CONTROL_PORT, DATA_PORT, TCP, UDP, listening, own_address, port_for, ports_of_neighbours
from fastmix.home.wishes import Wishes
from fastmix.keys.policy import KeyRotationPolicy
from fastmix.plan import passphrase_path
from fastmix.seam.pair import ADMITTED_PER_S

STORE = "identity.keys"
TEXT = """\
# A node of a mix network, as `fastmix` has set it up. Yours to edit: it is written once, but for `bootstrap`, as long as the node
# has joined nobody. What else can be set is in tuning/default.toml; docs/networks.md says how such a network forms.
node_id = {node_id}

# Where datagrams come in.
listen_addr = {listen_addr}

# Keys that are over and replay sets must be gone with the machine and never on a disk: {state_why}.
state_dir = {state_dir}
{more}
[identity]
# The passphrase is random. A copy of the store alone is worth nothing, but whoever reads both files is this node. Better: one of
# your own, `fastmix keys passwd --passphrase-file identity.passphrase identity.keys`; then remove that file and its line here, so
# that the node asks for it. docs/keys.md has tokens and TPMs, too. A backup: `fastmix keys export`.
store = {store}
passphrase_file = {passphrase_file}

[join]
{role}
bootstrap = {bootstrap}
trust_first = {trust_first}

# Where other nodes and clients ask, over TLS; and the address by which they reach this node, {announce_why}.
control_addr = {control_addr}
announce = {announce}
{authority}"""
FIRST = """\
# The first node of its network, and the authority that signs who belongs to it. Who comes in shows a token, of which a hash is
# kept: `fastmix network token` makes a new one. admission = "open" lets anybody in, "list" the identities that are `admitted`."""
JOINER = """\
# Nodes that are asked for the network, as they have printed themselves: HOST:PORT#PIN?TOKEN."""
AUTHORITY = """authority = true
admission = "token"
"""


def configuration(home: Path, wishes: Wishes, name: str, state_dir: Path) -> str:
    """The text of `node.toml`. Its ports are free now, and in no file beside; `NetworkFailure` where a wished one is not."""
    announced = wishes.address or own_address(wishes.bootstraps)
    host, taken = listening(announced), ports_of_neighbours(home)
    port = port_for(host, wishes.port, UDP, DATA_PORT, taken, "--port")
    control_port = port_for(host, wishes.control_port, TCP, CONTROL_PORT, {*taken, port}, "--control-port")
    return TEXT.format_map(
        {
            "node_id": toml_text(f"mix-{name[:8]}"),
            "listen_addr": toml_text(format_address((host, port))),
            "state_why": "here it is on a disk or may be swapped, as was asked for" if wishes.allow_swap else "so in a tmpfs",
            "state_dir": toml_text(str(state_dir)),
            "more": _more(wishes, shared=bool(taken) or ip_address(announced).is_loopback),
            "store": toml_text(STORE),
            "passphrase_file": toml_text(passphrase_path(Path(STORE)).name),
            "role": JOINER if wishes.bootstraps else FIRST,
            "bootstrap": toml_text(list(map(str, wishes.bootstraps))),
            "trust_first": toml_text(wishes.trust_first),
            "control_addr": toml_text(format_address((host, control_port))),
            "announce": toml_text(announced),
            "announce_why": "as was said" if wishes.address else "as this machine has it: correct it where a router has another",
            "authority": "" if wishes.bootstraps else AUTHORITY,
        }
    )


def _more(wishes: Wishes, *, shared: bool) -> str:
    """Settings that not every node has. `shared`: it is one of several on this machine."""
    lines = ["allow_swap = true\n"] if wishes.allow_swap else []
    if shared:
        life = timedelta(microseconds=KeyRotationPolicy().life_ns // 1000)
        capacity = int(ADMITTED_PER_S * life.total_seconds())
        lines += ["\n# Several nodes share this machine: so many packets while a key lives. Alone on it, leave this out.\n"]
        lines += [f"replay_capacity = {capacity}  # {ADMITTED_PER_S:,} a second\n"]
    return "".join(lines)
