"""`[access]` of a node's configuration: which users of this machine may ask the running node what."""

import grp
import pwd
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from fastmix.config.base import Table
from fastmix.config.types import refuse
from fastmix.files.toml import suggestion

OVERFLOW_UID = Path("/proc/sys/kernel/overflowuid")
"""Stands for every user of another user namespace who has no number in this one."""


def principal_id(text: str | int) -> tuple[str, int]:
    """("user" or "group", number) of `"user:NAME"`, `"group:NAME"` or a user's number; refused where nobody has that name."""
    if isinstance(text, int):
        return "user", text
    kind, _, name = text.partition(":")
    try:
        return kind, pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except KeyError:
        names = [one.pw_name for one in pwd.getpwall()] if kind == "user" else [one.gr_name for one in grp.getgrall()]
        near = suggestion(name, names)
        remedy = near if near.startswith("did") else f"name one of `getent {'passwd' if kind == 'user' else 'group'}`"
        raise refuse(f"names a {kind} whom this machine does not know: {remedy}") from None


def _read_principal(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise refuse('is no user or group: write "user:NAME", "group:NAME", or the number of a user')
    if isinstance(value, str) and not value.startswith(("user:", "group:")):
        raise refuse('is no user or group: write "user:NAME", "group:NAME", or the number of a user without quotes')
    kind, number = principal_id(value)
    if number < 0:
        raise refuse("is no number of a user: it is 0 or more")
    if kind == "user" and number == int(OVERFLOW_UID.read_text()):
        raise refuse("is the user that stands for all whom this machine does not know: name another")
    return value


Principal = Annotated[str | int, BeforeValidator(_read_principal)]
Principals = Annotated[tuple[Principal, ...], Field(strict=False)]


class AccessConfig(Table):
    """Who may use the node's control socket, besides root and the node's own user, who may do everything. `[access]` in the file.

    Each is a list of `"user:NAME"`, `"group:NAME"` and numbers of users.
    """

    viewers: Principals = ()
    """May look: status, health, settings, `fastmix keys list`."""
    operators: Principals = ()
    """May look, and stop the node."""
    key_officers: Principals = ()
    """May look, rotate keys, set the rotation policy, confirm a jump of the clock."""
    admins: Principals = ()
    """May do everything, also configure mixing, which brings code into the node."""

    @property
    def names_any(self) -> bool:
        """Whether others may use the socket at all."""
        return bool(self.viewers or self.operators or self.key_officers or self.admins)
