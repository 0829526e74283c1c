"""A node's configuration: `MixnodeConfig`, built in a program or loaded from a TOML file.

```toml
number = 0                      # this node's number in network.toml
network = "network.toml"        # paths are relative to this file
secret_file = "secrets/node-0"  # X25519 secret, 32 raw bytes, mode 0600: `fastmix keys new`; not where keys rotate
state_dir = "state-0"           # replay set and control socket; lives as long as the secret; a tmpfs where keys rotate

[mixing]
strategy = "poisson"            # poisson, timed, size, adaptive, priority, or "package.module:Class"
max_latency = "500ms"
```

Every wrong value is a `ConfigError` that names file and line (where there is a file), key, value and remedy.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from fastmix.config.access import AccessConfig
from fastmix.config.base import Table, config_error, plain
from fastmix.config.join import JoinConfig
from fastmix.config.tables import CoverConfig, IdentityConfig, KeysConfig, MixingConfig
from fastmix.config.types import AddressText, Duration, FilePath, refuse
from fastmix.files.addresses import Address, parse_address
from fastmix.files.durations import duration_ns, format_duration
from fastmix.files.toml import Key, TomlFile, key_name
from fastmix.profile import Profile, load_profile

NAP_MOST = timedelta(milliseconds=10)
REPLAY_CAPACITY = 3_000_000
REPLAY_CAPACITY_MOST = 1 << 32
"""Packets of one replay set."""
TICK_SHARE = 50
"""A tick of the mixer is at most the mean delay over this."""


def pool_room(slots: int) -> int:
    """Packets that the pool takes: an eighth of its slots is kept free for the road."""
    return slots - slots // 8


class MixnodeConfig(Table):
    """One node: who it is, where its files are, how it mixes, and its bounds."""

    number: int = Field(ge=0, lt=0xFF00)
    """The node's number in the network file."""
    network: FilePath | None
    """The network file (`network.toml`); a node with a `[join]` has none, and no number."""
    join: JoinConfig | None = None
    """How the node comes into a network that forms itself."""
    secret_file: FilePath | None = None
    """The node's X25519 Sphinx secret: 32 raw bytes, mode 0600. Only in a network without identities, and there needed."""
    state_dir: FilePath
    """Directory of replay sets and the control socket, of this user alone. Must live as long as `secret_file`; where keys
    rotate, they are there, too, so it must be in memory (a tmpfs)."""
    node_id: str = Field(default_factory=lambda values: f"mix-{values.get('number', 0):03}", min_length=1, max_length=64)
    """The name in status and logs; by default `mix-000` and so on."""
    listen_addr: AddressText | None = None
    """Where to receive, if not at the node's address in the network file (behind NAT: "0.0.0.0:9000")."""
    mixing: MixingConfig = MixingConfig()
    """Strategy and limits."""
    cover: CoverConfig = CoverConfig()
    """The node's own loops."""
    keys: KeysConfig | None = None
    """How long keys live; only in a network whose nodes have identities, and there needed."""
    identity: IdentityConfig | None = None
    """The encrypted identity; likewise."""
    access: AccessConfig = AccessConfig()
    """Who else on this machine may ask the running node what."""
    workers: int = Field(default=1, ge=1, le=16)
    """Threads that receive and unwrap. One also mixes and sends; several do so beside a mixer."""
    cores: tuple[int, ...] = Field(default=(), strict=False)
    """CPU numbers, one for each worker: the worker stays there. Empty: the kernel decides."""
    priority: int = Field(default=0, ge=-20, le=19)
    """Niceness of workers and mixer, -20 first; below 0 takes CAP_SYS_NICE or a limit. 0: as the node was started."""
    nap: Duration = timedelta(microseconds=200)
    """So long a worker lets datagrams gather after a batch that was not full."""
    receive_batch: int = Field(default=256, ge=1, le=256)
    """Datagrams that a worker takes at once, at most."""
    isa: Literal["auto", "portable", "avx2", "avx512f", "avx512ifma"] = "auto"
    """Instruction set of the kernels; auto: the fastest of this CPU and build. FASTMIX_ISA in the environment is stronger."""
    pool_slots: int = Field(default=16_384, ge=64, le=1 << 20)
    """Packets that the node can hold."""
    replay_capacity: int | None = Field(default=None, ge=1024, le=REPLAY_CAPACITY_MOST)
    """Packets that the replay set of a key remembers; one more is refused. By default what the cores can unwrap while the key
    lives, as measured at the start; of a key without an end 3,000,000."""
    client_rate: int = Field(default=5_000, ge=0, le=1_000_000)
    """Packets a second that one client may send, a second's worth at once; 0: no limit."""
    strict_kx: bool = False
    """Drop packets whose kx_public is outside the prime-order subgroup, before they are taken for the first of their kind. For a
    tenth to an eighth of the unwrap more, nobody can have a packet dropped at the next hop by changing its first bytes."""
    receive_buffer: int = Field(default=8 << 20, ge=1 << 16, le=1 << 30)
    """Bytes of the kernel's receive buffer, of each worker's socket."""
    io: Literal["auto", "gso", "mmsg", "socket"] = "auto"
    """How datagrams move: `gso` by trains, `mmsg` by recvmmsg and sendmmsg, `socket` one by one; `auto`: the first that works."""
    drain_timeout: Duration | None = None
    """Longest drain; by default, and at least, ten mean delays, `max_latency` and a tick."""
    allow_swap: bool = False
    """Run even if replay sets and keys could come to a disk, through swap or with a state_dir on one. For demos and drills."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important messages that are logged."""
    log_format: Literal["console", "json"] = "console"
    """Log lines for people, or a JSON object a line."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_join()
        if self.mixing.floor >= (room := pool_room(self.pool_slots)):
            raise refuse(
                f"mixing.floor {self.mixing.floor} is not below {room}, the packets that pool_slots {self.pool_slots} take: "
                "nothing would leave in time"
            )
        if self.mixing.max_batch_size > self.pool_slots:
            raise refuse(f"mixing.max_batch_size {self.mixing.max_batch_size} is above pool_slots {self.pool_slots}: lower it")
        if self.secret_file is None and self.identity is None:
            raise refuse(
                "secret_file is missing: add it, or, in a network whose nodes have identities, an [identity] table that names "
                "the store"
            )
        if self.cores and len(self.cores) != self.workers:
            raise refuse(f"cores names {len(self.cores)} CPUs for workers = {self.workers}: name one for each, or none")
        if self.nap > NAP_MOST:
            raise refuse(f"nap {format_duration(self.nap)} is longer than {format_duration(NAP_MOST)}: it would be felt")
        return self

    @model_validator(mode="before")
    @classmethod
    def _fill_join(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("join") is None:
            return values
        if given := [name for name in ("number", "network", "secret_file") if values.get(name) is not None]:
            raise refuse(f"{given[0]} and [join]: a node that joins a network finds its number there; remove one of the two")
        return {"keys": {}, **values, "number": 0, "network": None}

    def _check_join(self) -> None:
        if self.join is None:
            if self.network is None:
                raise refuse("network is missing: name the network file, or add a [join] table")
        elif self.identity is None:
            raise refuse("[identity] is missing: a node that joins a network has one (fastmix keys init)")
        elif self.listen_addr is None:
            raise refuse('listen_addr is missing: where to receive datagrams, such as "0.0.0.0:9000"')

    _profile: str = PrivateAttr("")
    _from_profile: frozenset[str] = PrivateAttr(frozenset())
    _replay_tags: int | None = PrivateAttr(None)

    @classmethod
    def load(cls, path: str | Path, profile: str | Path | None = None) -> Self:
        """Reads a configuration file; its paths are relative to it. `profile`: a name or a file of `fastmix.profile`, whose node
        settings lie under the file's own. `ConfigError` names file, line, key, value and remedy.
        """
        file = TomlFile(path)
        under = None if profile is None else load_profile(profile)
        values = dict(file.values) if under is None else under.under(file.values)
        values = beside(values, ("network", "secret_file", "state_dir"), file.path.parent)
        if isinstance(identity := values.get("identity"), dict):
            values["identity"] = beside(identity, ("store", "passphrase_file", "pkcs11_module"), file.path.parent)
        try:
            config = cls.model_validate(values)
        except ValidationError as error:
            raise config_error(error, cls, lambda key: _place(file, under, key)) from None
        if under is not None:
            config._profile, config._from_profile = under.name, under.keys_beside(file.values)
        return config

    @property
    def profile(self) -> str:
        """The name of the profile under these settings; empty where there is none."""
        return self._profile

    @property
    def settings(self) -> dict[str, tuple[object, str]]:
        """Every setting's whole name: its value as JSON has it, texts as in the file ("200us"), None where there is none; and
        where it comes from: `file`, `profile NAME` or `default`.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields if name != "mixing"}
        values |= {f"mixing.{name}": getattr(self.mixing, name) for name in MixingConfig.model_fields}
        said = self.model_fields_set | {f"mixing.{name}" for name in self.mixing.model_fields_set}
        return {
            name: (
                plain(value),
                f"profile {self._profile}" if name in self._from_profile else "file" if name in said else "default",
            )
            for name, value in values.items()
        }

    @property
    def replay_tags(self) -> int:
        """`replay_capacity`, or what was found in its place."""
        return self._replay_tags or self.replay_capacity or REPLAY_CAPACITY

    def with_replay_tags(self, n: int) -> Self:
        """The same configuration, of a node whose replay sets take n packets."""
        found = self.model_copy()
        found._replay_tags = n
        return found

    @property
    def listen_address(self) -> Address | None:
        """`listen_addr` as (IP address, port); None for the address in the network file."""
        return None if self.listen_addr is None else parse_address(self.listen_addr)

    def drain_ns(self, mean_delay_ns: int) -> int:
        """The longest drain in ns, for a network of that mean delay."""
        least = 10 * mean_delay_ns + duration_ns(self.mixing.max_latency) + mean_delay_ns // TICK_SHARE
        return max(least, duration_ns(self.drain_timeout or timedelta(0)))


def beside(values: Mapping[str, object], names: Iterable[str], folder: Path) -> dict[str, object]:
    """The values; of those names the paths are relative to a folder."""
    paths = {name: folder / text for name in names if isinstance(text := values.get(name), str) and text}
    return {**values, **paths}


def _place(file: TomlFile, profile: Profile | None, key: Key) -> str:
    """Where a value stands: in the configuration file, or in the profile under it."""
    if profile is not None and key_name(key) in profile.keys_beside(file.values):
        return f"{profile.path}: node"
    return file.place(key)


def check_node_settings(profile: Profile) -> None:
    """`ConfigError` where a node could not be set to what the profile says."""
    file = TomlFile(profile.path)
    try:
        MixnodeConfig.model_validate({"number": 0, "network": ".", "secret_file": ".", "state_dir": "."} | profile.node)
    except ValidationError as error:
        raise config_error(error, MixnodeConfig, lambda key: file.place(("node", *key))) from None
