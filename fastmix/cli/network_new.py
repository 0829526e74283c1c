"""`fastmix network new`: a network with fresh keys, for operators who run all of its nodes, or who hand the files out."""

import shutil
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from fastmix.cli.keys_store import actor, audit_log
from fastmix.errors import ConfigError, FastmixError
from fastmix.files.addresses import Address, format_address, parse_address
from fastmix.files.durations import duration_ns, format_duration, parse_duration
from fastmix.files.temporary import SHARED_MEMORY
from fastmix.keys.policy import KeyRotationPolicy
from fastmix.network import Node
from fastmix.packet.geometry import GEOMETRIES
from fastmix.plan import NetworkPlan, identity_table, plan_network, store_path
from fastmix.process.swap import TMPFS, mount_of
from fastmix.seam.lifeline import keep_unseen
from fastmix.seam.pair import ADMITTED_PER_S

FIRST_PORT = 9000
LOCAL = tuple(tuple(f"127.0.0.1:{FIRST_PORT + 2 * layer + at}" for at in range(2)) for layer in range(3))


def new(
    directory: Path,
    /,
    *,
    layer1: tuple[str, ...] = (),
    layer2: tuple[str, ...] = (),
    layer3: tuple[str, ...] = (),
    clients: Annotated[int, Parameter(validator=Number(gte=0, lte=500))] = 2,
    geometry: Literal["wan", "jumbo"] = "wan",
    mean_delay: str = "50ms",
    classes: Literal[1, 2, 4] = 1,
    slot: str | None = None,
    passphrase_file: Path | None = None,
) -> None:
    """Make a network: its file, all secrets, and a configuration for each node.

    Give every node the network file, its own configuration, its own secret and the secrets of its own links, and delete the
    rest: whoever has all secrets sees everything.

    Parameters
    ----------
    directory
        A new directory for it.
    layer1
        Address of a node of the first layer, such as 192.0.2.10:9000. Repeat it for each node. Without any of the three: two
        nodes a layer on this machine, ports 9000 to 9005.
    layer2
        The same for the second layer.
    layer3
        The same for the third layer, the exits.
    clients
        How many clients to make keys for.
    geometry
        Packet sizes: wan or jumbo.
    mean_delay
        Mean mixing delay of a node.
    classes
        Priority classes.
    slot
        Give the nodes identities in encrypted stores, and let their keys live for slots of this length, such as 10min. The graces
        are the shortest that the mean delay and max_latency allow.
    passphrase_file
        With --slot: the passphrase of all stores, a file of mode 0600. The nodes will ask for it. Without: each store gets a
        random one in a file beside it, which the node's configuration names; put it where the store's copies do not go.
    """
    if passphrase_file is not None and slot is None:
        raise ConfigError("--passphrase-file is for the stores of identities, which a network has with --slot: add it")
    if directory.exists():
        raise ConfigError(f"{directory} exists already: name a new directory")
    layers = chosen((layer1, layer2, layer3))
    try:
        mean_ns = duration_ns(parse_duration(mean_delay))
    except ValueError as error:
        raise ConfigError(f"--mean-delay {mean_delay!r} {error}") from None
    keep_unseen()
    plan = plan_network(
        [addresses(f"--layer{at}", texts) for at, texts in enumerate(layers, 1)],
        clients,
        geometry=GEOMETRIES[geometry],
        classes=classes,
        mean_delay_ns=mean_ns,
        rotates=slot is not None,
    )
    write(plan, directory, None if slot is None else policy_of(slot, mean_ns), passphrase_file)
    print(f"{directory / 'network.toml'}: {len(plan.network.nodes)} nodes, {clients} clients, {len(plan.network.links)} links")
    for node in plan.network.nodes:
        config = quote(str(directory / f"node-{node.number}.toml"))
        print(f"  fastmix run {config}    # layer {node.layer}, {format_address(node.address)}")
    for client in plan.network.clients:
        print(f"  client {client.peer_id.hex()}    # {plan.secret_path(directory, client.peer_id)}, exit node {client.exit}")


def chosen(layers: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """The layers that were named, or those on this machine; `ConfigError` for some of each, which could not reach each other."""
    missing = [f"--layer{at}" for at, texts in enumerate(layers, 1) if not texts]
    if 0 < len(missing) < len(layers):
        what = "is missing" if len(missing) == 1 else "are missing"
        raise ConfigError(f"{' and '.join(missing)} {what}: name the nodes of all three layers, or of none for a network here")
    return LOCAL if missing else layers


def addresses(option: str, texts: tuple[str, ...]) -> list[Address]:
    """The addresses of one layer."""
    try:
        return [parse_address(text) for text in texts]
    except ValueError as error:
        raise ConfigError(f"{option} {' '.join(texts)}: an address {error}") from None


def node_config(plan: NetworkPlan, directory: Path, number: int, policy: KeyRotationPolicy | None, *, asks: bool) -> str:
    """The configuration of a node; `policy`: of its keys, if they rotate. `asks`: it has to ask for its store's passphrase."""
    from fastmix.config.mixnode import REPLAY_CAPACITY_MOST

    head = f'number = {number}\nnetwork = "network.toml"\n'
    if policy is None:
        where = f'state_dir = "state-{number}"  # must live as long as the secret\n'
        return f'{head}secret_file = "secrets/node-{number}"\n{where}'
    state_dir = state_in_memory(directory, plan.network.node(number))
    store = store_path(Path(), number)
    identity = f'[identity]\nstore = "{store}"  # asks for the passphrase: see docs/keys.md\n' if asks else identity_table(store)
    where = f'state_dir = "{state_dir}"  # keys and replay sets: a tmpfs, never a disk\n'
    if len({node.address[0] for node in plan.network.nodes}) == 1:
        capacity = min(ADMITTED_PER_S * policy.life_ns // 10**9, REPLAY_CAPACITY_MOST)
        rate, life = capacity * 10**9 // policy.life_ns, format_duration(timedelta(microseconds=policy.life_ns // 1000))
        where += f"replay_capacity = {capacity}  # {rate:,} packets a second for {life}; alone on a machine: leave it out\n"
    return f"{head}{where}{keys_table(policy)}\n{identity}"


def state_in_memory(directory: Path, node: Node) -> str:
    """The state directory of a node whose keys rotate: beside its configuration if that is in memory itself."""
    if mount_of(directory)[0] in TMPFS:
        return f"state-{node.number}"
    return str(SHARED_MEMORY / f"fastmix-{node.identity.hex()[:16]}")


def policy_of(slot: str, mean_ns: int) -> KeyRotationPolicy:
    """What `--slot` and the mean delay say of a node's keys. `ConfigError` where graces do not fit the slot."""
    from fastmix.config import MixingConfig
    from fastmix.control.agreement import HOPS
    from fastmix.keys.slots import SlotTimes

    try:
        length = parse_duration(slot)
    except ValueError as error:
        raise ConfigError(f"--slot {slot!r} {error}") from None
    least_ns = SlotTimes(1, 0, 0).late_least_ns(HOPS, mean_ns, duration_ns(MixingConfig().max_latency))
    late = max(timedelta(microseconds=-(-least_ns // 1000)), length / 5)
    early = max(min(length / 10, 2 * length - late), timedelta(0))
    interval = max(timedelta(hours=24), length)
    try:
        return KeyRotationPolicy(slot=length, early=early, late=late, interval=interval)
    except ConfigError as error:
        raise ConfigError(f"--slot {slot}: {error}") from None


def keys_table(policy: KeyRotationPolicy) -> str:
    """The [keys] of a node's configuration."""
    values = {name: getattr(policy, name) for name in ("slot", "early", "late", "interval")}
    return "\n[keys]\n" + "".join(f'{name} = "{format_duration(value)}"\n' for name, value in values.items())


def write(
    plan: NetworkPlan, directory: Path, policy: KeyRotationPolicy | None = None, passphrase_file: Path | None = None
) -> None:
    """All files, or none; `policy`: of the keys, if they rotate. `ConfigError` where the directory cannot be made or the network
    is not a possible one."""
    try:
        directory.mkdir(mode=0o755)
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be made: {error.strerror}; check the directory above it") from None
    try:
        plan.write(directory, passphrase_file)
        for number, identity in plan.identities.items():
            with audit_log(store_path(directory, number), identity, new=True) as log:
                log.append(actor(), "keys.init", identity=identity.public.hex(), kept_by="passphrase")
        for node in plan.network.nodes:
            text = node_config(plan, directory, node.number, policy, asks=passphrase_file is not None)
            (directory / f"node-{node.number}.toml").write_text(text)
    except BaseException as error:
        shutil.rmtree(directory)  # no half of a network, and no secrets of one, stay behind
        if isinstance(error, OSError):
            remedy = "make room on that disk, or name a directory on another one"
            raise ConfigError(f"no network was made: {directory}: cannot be written: {error.strerror}; {remedy}") from None
        if isinstance(error, FastmixError):
            raise type(error)(f"no network was made: {error}") from None
        raise
