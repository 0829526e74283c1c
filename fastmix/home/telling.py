"""What a node with a `[join]` table says of itself before it starts: who it is, where everything is, how others come in."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from shlex import quote

from fastmix.config import MixnodeConfig
from fastmix.directory.admission import TOKEN_SIZE
from fastmix.directory.bootstrap import Bootstrap, parse_bootstrap
from fastmix.directory.token_file import read_token_hash, write_token_hash
from fastmix.errors import ConfigError
from fastmix.files.addresses import format_address, parse_address
from fastmix.home.machine import own_address
from fastmix.home.wishes import place
from fastmix.keys.store import read_store
from fastmix.tls.greeting import pin_of

HIDDEN = "TOKEN"
"""Stands for a token of which only the hash is known."""
Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Speaker:
    """A node's configuration, its path, and the identity's public key; nothing is decrypted."""

    config: MixnodeConfig
    path: Path
    public: bytes

    @classmethod
    def of(cls, config: MixnodeConfig, path: Path) -> "Speaker":
        """`KeyStoreError` where its store is damaged."""
        assert config.identity is not None
        return cls(config, path, read_store(config.identity.store).public)

    @property
    def makes_network(self) -> bool:
        """Whether it is the first node of its network."""
        return self.config.join is not None and not self.config.join.bootstrap

    @property
    def announced(self) -> str:
        """The IP address that others reach it at."""
        assert self.config.join is not None
        host = parse_address(self.config.join.control_addr)[0]
        if self.config.join.announce or not ip_address(host).is_unspecified:
            return self.config.join.announce or host
        return own_address(map(parse_bootstrap, self.config.join.bootstrap))

    def bootstrap(self, token: bytes | None = None) -> Bootstrap:
        """What others come in by, at this node."""
        assert self.config.join is not None
        port = parse_address(self.config.join.control_addr)[1]
        return Bootstrap(self.announced, port, pin_of(self.public), token)

    def tell(self, remedy: str) -> None:
        """Prints it all, with a new token for a network that needs one and has none; only then its hash is written. `remedy`: the
        command that makes another."""
        token = self._fresh_token()
        width = max(len(name) for name, _ in self.rows(token, remedy))
        for name, text in self.rows(token, remedy):
            print(f"{name:<{width}}  {text}")
        print(end="", flush=True)
        if token is not None:
            assert self.config.identity is not None
            write_token_hash(self.config.identity.store, token)

    def new_token(self) -> str:
        """Replaces the token; the bootstrap text with the new one. `ConfigError` where this node lets nobody in by a token."""
        join, identity = self.config.join, self.config.identity
        assert join is not None
        assert identity is not None
        if not (self.makes_network or join.authority):
            raise ConfigError(
                f"{self.path}: this node is no authority, so it lets nobody in: make the token at one "
                f"({' or '.join(place(parse_bootstrap(text)) for text in join.bootstrap)})"
            )
        if join.admission != "token":
            raise ConfigError(f'{self.path}: admission = "{join.admission}" needs no token: set admission = "token" to have one')
        token = os.urandom(TOKEN_SIZE)
        write_token_hash(identity.store, token)
        return str(self.bootstrap(token))

    def rows(self, token: bytes | None, remedy: str) -> list[Row]:
        """Name and text of each line."""
        config, join = self.config, self.config.join
        assert join is not None
        assert config.identity is not None
        assert config.listen_addr is not None
        data = (self.announced, parse_address(config.listen_addr)[1])
        control = (self.announced, parse_address(join.control_addr)[1])
        return [
            ("identity", self.public.hex()),
            ("files", f"{self.path} (settings, yours to edit), {config.identity.store.name} (the identity; keep a backup)"),
            ("state", f"{config.state_dir} (keys and replay sets)"),
            ("data", f"UDP {config.listen_addr}, for others {format_address(data)}{self._reach}"),
            ("control", f"TCP {join.control_addr}, for others {format_address(control)}"),
            ("role", self._role),
            *self._invitation(token, remedy),
        ]

    @property
    def _reach(self) -> str:
        ip = ip_address(self.announced)
        if ip.is_loopback:
            return " (this machine only)"
        return " (a private network; behind a router: announce)" if ip.is_private else ""

    @property
    def _role(self) -> str:
        assert self.config.join is not None
        if self.makes_network:
            return "first node: makes a network and signs its documents; ready with three nodes"
        names = " or ".join(place(parse_bootstrap(text)) for text in self.config.join.bootstrap)
        return f"joins the network of {names}" + (" and signs its documents" if self.config.join.authority else "")

    def _invitation(self, token: bytes | None, remedy: str) -> list[Row]:
        assert self.config.join is not None
        text = str(self.bootstrap(token))
        if self.config.join.admission == "token" and token is None:
            text += f"?{HIDDEN}"
        command = f"fastmix run --bootstrap {quote(text)}"
        if not self.makes_network or self.config.join.admission != "token":
            return [("next node", command)]
        if token is None:
            return [("next node", command), ("token", f"was shown at the first start; a new one: {remedy}")]
        return [("next node", command), ("token", f"behind the ?, shown this once; a new one: {remedy}")]

    def _fresh_token(self) -> bytes | None:
        """For the network's first start."""
        assert self.config.join is not None
        assert self.config.identity is not None
        if not self.makes_network or self.config.join.admission != "token":
            return None
        return None if read_token_hash(self.config.identity.store) is not None else os.urandom(TOKEN_SIZE)
