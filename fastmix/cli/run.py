"""`fastmix run`: one node, until it is told to stop."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from fastmix.cli.network_home import argument
from fastmix.cli.output import print_table
from fastmix.cli.start import START, StartOptions, check_ports, home_of, prepare, tell
from fastmix.errors import ConfigError

if TYPE_CHECKING:
    from fastmix.config import MixnodeConfig
    from fastmix.config.join import JoinConfig
    from fastmix.network import Network
    from fastmix.udp.endpoint import UdpEndpoint

NAMED = 8
"""So many files are named in an error, at most."""


def run(
    config: Path | None = None,
    /,
    *,
    home: Path | None = None,
    bootstrap: tuple[str, ...] = (),
    trust_first: bool = False,
    start: StartOptions = START,
    profile: str | None = None,
    check: bool = False,
) -> int:
    """Run one node, from its configuration file or without one.

    Without a file the node gets a home with an identity and a configuration, once, and says what it did: `fastmix run` makes a
    network, `fastmix run --bootstrap TEXT` comes into one. Several nodes of one user get homes of their own.

    The first Ctrl-C, or SIGTERM, drains: nothing new is taken, and what waits leaves in its time. The second one stops at once.

    Parameters
    ----------
    config
        The node's configuration, a TOML file. The options of a home are for a start without it.
    home
        The home of the node. By default $XDG_DATA_HOME/fastmix/node, root's /var/lib/fastmix/node; node-2 and so on where that
        one runs.
    bootstrap
        A node of the network to join, as it has said itself: HOST:PORT#PIN?TOKEN, in quotes. Repeat it for several.
    trust_first
        Believe a bootstrap node without a PIN, whoever answers there.
    profile
        A profile whose settings lie under those of the configuration: a name of `fastmix tune list`, or a file.
    check
        Only check the configuration, the network file, the secrets that the node reads, the places that it writes to, and the
        room for its replay sets; open the identity's store as the node would, and look at its chain of mix keys; show where each
        setting that is not a default comes from.
    """
    if config is not None:
        if home is not None or bootstrap or trust_first or start != START:
            raise ConfigError(
                f"{config}: --home, --bootstrap and what else sets up a node are for a start without a file: edit it"
            )
        refuse_network_file(config)
        return run_file(config, f" {quote(str(config))}", profile, check=check)
    if check:
        raise ConfigError("--check: there is no file to check: name it, such as the node.toml of a node's home")
    taken = home_of(home)
    path, _ = prepare(taken, bootstrap, start, trust_first=trust_first)
    return run_file(path, argument(taken), profile)


def run_file(path: Path, token_place: str, profile: str | None, *, check: bool = False) -> int:
    """From a configuration. `token_place`: the argument of `fastmix network token`, with a space before it."""
    from fastmix.config import MixnodeConfig
    from fastmix.process.environment import use_kernels

    loaded = MixnodeConfig.load(path, profile)
    use_kernels(loaded.isa)  # before anything imports them
    check_files(loaded, path)
    if check:
        check_more(loaded, path)
        return 0
    if loaded.join is not None:
        check_ports(loaded)
        tell(loaded, path, token_place)
    from fastmix.files.addresses import format_address
    from fastmix.seam.lifeline import end_at_once

    end_at_once()
    from fastmix.process.parent import run as run_node

    def announce(endpoint: "UdpEndpoint") -> None:
        print(f"{loaded.node_id} is ready on {format_address(endpoint.address)}; Ctrl-C drains it", flush=True)

    return run_node(loaded, on_ready=announce)


def check_more(config: "MixnodeConfig", path: Path) -> None:
    """What a start would find out later; says that all is good."""
    from fastmix.cli.network import check_slots
    from fastmix.control.chain import check_chain
    from fastmix.files.toml import toml_text
    from fastmix.network_of import network_of

    if config.keys is not None:
        network = network_of(config)
        check_slots(network, (config.number, config.keys.policy.times))
        check_identity(config)
        check_chain(config, network.node(config.number).identity)
    check_room(config)
    of = f"Node {config.number} of {config.network}" if config.join is None else f"{config.node_id}, which {role(config.join)}"
    print(f"{path}: good. {of}")
    rows = [(name, source, toml_text(value)) for name, (value, source) in config.settings.items() if source != "default"]
    print_table(rows)


def role(join: "JoinConfig") -> str:
    """How a node comes into its network."""
    from fastmix.directory.bootstrap import parse_bootstrap
    from fastmix.home.wishes import place

    names = " or ".join(place(parse_bootstrap(text)) for text in join.bootstrap)
    return f"joins the network of {names}" if names else "makes a network"


def refuse_network_file(path: Path) -> None:
    """`ConfigError` for the network's file in place of a node's, with the nodes' files beside it."""
    from fastmix.files.toml import TomlFile

    if not isinstance(TomlFile(path).values.get("node"), list):
        return
    beside = sorted(path.parent.glob("node-*.toml"), key=lambda each: (len(each.name), each.name))
    names = ", ".join(map(str, beside[:NAMED])) + (f" and {len(beside) - NAMED} more" if len(beside) > NAMED else "")
    remedy = f"name one of {names}" if beside else "name the file that has secret_file and state_dir"
    raise ConfigError(f"{path}: is a network file, not a node's configuration: {remedy}")


def check_files(config: "MixnodeConfig", path: Path) -> None:
    """Reads all that the node will read, and decrypts nothing; looks at all places that it will write to. `FastmixError` names
    what is wrong. Identity or secret must be that of the network file."""
    from fastmix.control.agreement import check_keys
    from fastmix.kernels.isa import active
    from fastmix.links.static import StaticLinkRoots
    from fastmix.network_of import network_of
    from fastmix.process.placement import check_cores
    from fastmix.process.swap import check_memory

    active()
    check_cores(config.cores)
    network = network_of(config)
    node = network.node(config.number)
    check_keys(network, config)
    if network.rotates:
        check_memory(config.state_dir, config.allow_swap)
    else:
        check_fixed(network, config, path)
    if config.join is not None:
        check_join(config.join, path)
    n_classes = len(config.mixing.classes)
    if n_classes > network.classes:
        raise ConfigError(
            f"{path}: mixing.classes has {n_classes} entries, but the network has {network.classes} classes: remove some"
        )
    StaticLinkRoots(network, node.number)
    check_places(network, config)


def check_join(join: "JoinConfig", path: Path) -> None:
    """`ConfigError` for a bootstrap text that is none, or has no PIN, and for an address that others could not reach."""
    from fastmix.directory.bootstrap import parse_bootstrap
    from fastmix.home.wishes import check_pins, read_address

    try:
        check_pins(map(parse_bootstrap, join.bootstrap), trust_first=join.trust_first)
        if join.announce is not None:
            read_address(join.announce, "announce")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def check_places(network: "Network", config: "MixnodeConfig") -> None:
    """`FastmixError` where the node could not write: its state, the counters of its links, its descriptor. Writes nothing."""
    from fastmix.descriptor import check_place
    from fastmix.links.reservations import check_counters, counter_files
    from fastmix.process.state_dir import check_state_dir

    check_state_dir(config.state_dir)
    check_counters(counter_files(network, config.number))
    if network.rotates:
        check_place(network.path.parent / network.node(config.number).descriptor)


def check_room(config: "MixnodeConfig") -> None:
    """`ResourceExhausted` where replay sets find no room."""
    from fastmix.network_of import network_of
    from fastmix.tune.admission import Room, admit
    from fastmix.tune.capacity import unwraps_per_s
    from fastmix.tune.host import Host

    network = network_of(config)
    rate = unwraps_per_s(network.geometry, strict_kx=config.strict_kx)
    admit(config, network, rate, Room.of(config.state_dir, Host()))


def check_fixed(network: "Network", config: "MixnodeConfig", path: Path) -> None:
    """The secret of a key without an end, and the replay set that it has."""
    from fastmix.cli.keys import x25519_public
    from fastmix.control.fixed_pair import check_fit
    from fastmix.files.secret import read_secret
    from fastmix.seam.pair import fixed_id, pair_path

    assert config.secret_file is not None  # `check_keys`
    public, wanted = x25519_public(read_secret(config.secret_file)), network.node(config.number).sphinx_public
    if public != wanted:
        raise ConfigError(
            f"{path}: secret_file {config.secret_file} is not that of node {config.number}: its public key is {public.hex()}, "
            f"but {config.network} has {wanted.hex()}: name the right file, or correct sphinx_public"
        )
    if config.replay_capacity is not None:
        check_fit(pair_path(config.state_dir, fixed_id(public)), config.replay_capacity)


def check_identity(config: "MixnodeConfig") -> None:
    """Opens the store as the node will; `KeyStoreError` says why it cannot be."""
    from fastmix.control.identity import NodeIdentity
    from fastmix.errors import ResourceExhausted
    from fastmix.network_of import network_of
    from fastmix.seam.lifeline import keep_unseen
    from fastmix.seam.memory import Region, create_memory, kept_sections

    keep_unseen()
    kept = Region(create_memory("fastmix-kept", kept_sections()), kept_sections())
    try:
        kept.keep_private()
    except OSError as error:
        raise ResourceExhausted(f"memory for keys cannot be locked: {error}") from None
    NodeIdentity(config, network_of(config), kept).close()
