"""Who may ask a node what: each question has a least role, and a peer the roles that `[access]` gives to its user and groups.

A peer is who the kernel says connected (SO_PEERCRED, SO_PEERGROUPS); nothing that it sends is believed. root and the node's own
user are admins, and so is the program that has started the node, over its socket pair.
"""

import os
import pwd
import socket
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fastmix.config.access import AccessConfig, principal_id

PEERCRED = struct.Struct("iII")
SO_PEERGROUPS = 59
"""Linux has it since 4.13; Python does not name it."""
GROUPS_SIZE = 1024
"""Bytes for groups, the most that Python reads: 256 of them."""


class Role(StrEnum):
    """What a peer may do. Each may look; `admin` may do everything."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    KEY_OFFICER = "key-officer"
    ADMIN = "admin"


LISTS = {Role.VIEWER: "viewers", Role.OPERATOR: "operators", Role.KEY_OFFICER: "key_officers", Role.ADMIN: "admins"}
"""Where `[access]` names who has a role."""


class Socket(Protocol):
    """A connected socket of the kernel's."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """As `socket.socket.getsockopt`."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a local socket, as it was when it connected."""

    uid: int
    gids: frozenset[int]
    pid: int

    @property
    def name(self) -> str:
        """`bob (uid 1001)`."""
        try:
            return f"{pwd.getpwuid(self.uid).pw_name} (uid {self.uid})"
        except KeyError:
            return f"uid {self.uid}"


def peer_of(connection: Socket) -> Peer:
    """Who connected. Of someone in more than 256 groups only the first one counts."""
    pid, uid, gid = PEERCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEERCRED.size))
    try:
        groups = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, GROUPS_SIZE)
    except OSError:
        groups = b""
    return Peer(uid, frozenset({gid, *(gid for (gid,) in struct.iter_unpack("I", groups))}), pid)


@dataclass(frozen=True, slots=True)
class Actor:
    """A peer and what it may do."""

    peer: Peer
    roles: frozenset[Role]

    @property
    def name(self) -> str:
        """For logs: `bob (uid 1001)`."""
        return self.peer.name

    @property
    def fields(self) -> dict[str, object]:
        """What else the audit log says of it."""
        return {"pid": self.peer.pid, "role": "+".join(sorted(self.roles)) or "none"}

    def may(self, least: Role) -> bool:
        """Whether it may do what takes that role."""
        return least in self.roles or Role.ADMIN in self.roles or (least is Role.VIEWER and bool(self.roles))


class Access:
    """The roles that one node gives."""

    def __init__(self, config: AccessConfig, own_uid: int | None = None) -> None:
        """`own_uid`: the node's user; by default that of this process."""
        own = os.geteuid() if own_uid is None else own_uid
        self._config = config
        self._given = [("user", uid, Role.ADMIN) for uid in sorted({0, own})]
        for role, name in LISTS.items():
            self._given += [(*principal_id(principal), role) for principal in getattr(config, name)]

    def actor(self, peer: Peer) -> Actor:
        """The peer with its roles."""
        held = {"user": {peer.uid}, "group": peer.gids}
        return Actor(peer, frozenset(role for kind, number, role in self._given if number in held[kind]))

    def refusal(self, actor: Actor, what: str, least: Role) -> str:
        """Why an actor may not do something: the role that it takes, and who has that."""
        has = " and ".join(sorted(actor.roles)) or "no role"
        lists = [LISTS[role] for role in Role if Actor(actor.peer, frozenset({role})).may(least)]
        named = [f"{one} = {list(found)}" for one in lists if (found := getattr(self._config, one))]
        others = f", or whom [access] of its configuration names ({'; '.join(named)})" if named else ""
        return f"{what} takes the role {least}, and {actor.name} has {has} at this node: ask root or the node's own user{others}"
