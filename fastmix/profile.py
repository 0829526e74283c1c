"""Profiles: what a node for one purpose should be set to, and what it wants of its host.

```toml
purpose = "the most messages a second"
based_on = "multi-threaded"       # whose settings lie under these

[node]                            # as in a node's configuration file, without who it is and how well it mixes
receive_buffer = 16777216

[[host]]
setting = "net.core.rmem_max"     # a name that fastmix/tune/settings.py knows
rule = "at least"                 # or "at most", "one of"; without it the very value
value = 16777216
reason = "why a node wants it"
cost = "what a host without it loses, with a number"
```

In a buffer's cost `{bytes}` stands for its size on the host that is looked at, `{packets}` for how many packets that holds, and
`{ms at 2,000/s}` for how long those take to come.

The named ones are files of tuning/, installed with the package. A profile of your own is a file that you name by its path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastmix.errors import ConfigError
from fastmix.files.toml import Key, Table, TomlFile, suggestion

PACKAGE = Path(__file__).parent
FOLDERS = (PACKAGE / "profiles", PACKAGE.parent / "tuning")
"""Where the named profiles are: in an installed package, in a checkout."""
NO_PROFILE = "default"
"""This file there is a whole configuration."""
RULES = ("equal", "at least", "at most", "one of")
NOT_A_PROFILES = ("number", "network", "secret_file", "identity", "state_dir", "node_id", "listen_addr", "allow_swap")
"""Who a node is and where its files are: nothing that several nodes could share."""
NOT_A_PROFILES_MIXING = ("strategy", "options", "classes", "floor")
"""How well packets are mixed: nothing that speed may decide."""
BASES_MAX = 8
"""So many profiles may be based on one another."""


@dataclass(frozen=True, slots=True)
class HostWish:
    """A setting of the host that a profile wants. `value`: a text, a whole number, or for "one of" texts, best first."""

    setting: str
    rule: str
    value: str | int | tuple[str, ...]
    reason: str
    cost: str

    @property
    def wanted(self) -> str:
        """The wish in words: `at least 4096`."""
        value = " or ".join(self.value) if isinstance(self.value, tuple) else str(self.value)
        return f"{self.rule} {value}" if self.rule in ("at least", "at most") else value


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile, with all that it is based on. `node`: settings as a configuration file has them; `why`: the whole name of
    each, and the comment beside it.
    """

    name: str
    path: Path
    purpose: str
    based_on: str
    node: dict[str, Any]
    host: tuple[HostWish, ...]
    why: dict[str, str] = field(default_factory=dict)

    def under(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration file's values, with the profile's where it says nothing."""
        return _laid_over(self.node, values)

    def keys_beside(self, values: Mapping[str, Any]) -> frozenset[str]:
        """The settings, such as `mixing.max_batch_size`, that come from the profile when it lies under these values."""
        return frozenset(name for name in flat(self.node) if name not in flat(values))


def profile_names() -> list[str]:
    """The names of the profiles that come with fastmix."""
    return sorted(_named())


def load_profile(name: str | Path) -> Profile:
    """The profile of a name, or of a file's path (a text with a slash, or that ends in `.toml`).

    `ConfigError` for an unknown name lists the known ones; for a wrong file it names file, line, key and remedy.
    """
    return _load(name, ())


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with their whole names: `{"mixing": {"floor": 10}}` as `{"mixing.floor": 10}`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= {f"{name}.{key}": inner for key, inner in flat(value).items()} if isinstance(value, dict) else {name: value}
    return found


def _named() -> dict[str, Path]:
    folder = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[0])
    return {path.stem: path for path in folder.glob("*.toml") if path.stem != NO_PROFILE}


def _path_of(name: str | Path) -> Path:
    if isinstance(name, Path) or "/" in name or name.endswith(".toml"):
        return Path(name)
    named = _named()
    if name not in named:
        known = ", ".join(sorted(named)) or f"none: {FOLDERS[0]} is missing, install fastmix again"
        near = suggestion(name, named)
        hint = f"; {near}" if near.startswith("did you mean") else ""
        raise ConfigError(f"{name!r} is not a profile (known are {known}){hint}; a profile of your own is named by its path")
    return named[name]


def _load(name: str | Path, above: tuple[Path, ...]) -> Profile:
    path = _path_of(name)
    if path in above or len(above) > BASES_MAX:
        raise ConfigError(f"{above[-1]}: based_on: {str(name)!r} is based on this profile again: remove one of the two lines")
    file = TomlFile(path)
    table = file.table()
    purpose, based_on = table.take("purpose", str), table.take("based_on", str, "")
    node = table.take("node", dict, {})
    wishes = [_wish(one) for one in table.take_tables("host")]
    table.end()
    _refuse_identity(file, node)
    why = _comments(file, node)
    if not based_on:
        return Profile(path.stem, path, purpose, "", node, tuple(wishes), why)
    base = _load(path.parent / based_on if based_on.endswith(".toml") else based_on, (*above, path))
    own = {wish.setting for wish in wishes}
    host = (*(wish for wish in base.host if wish.setting not in own), *wishes)
    return Profile(path.stem, path, purpose, based_on, _laid_over(base.node, node), host, base.why | why)


def _comments(file: TomlFile, node: dict[str, Any]) -> dict[str, str]:
    """What the file says behind each node setting, on its line; no text where it says nothing."""
    lines = file.text.split("\n")
    places = {name: file.line(("node", *name.split("."))) or 0 for name in flat(node)}
    return {name: lines[place - 1].partition("# ")[2].strip() for name, place in places.items()}


def _wish(table: Table) -> HostWish:
    setting, rule = table.take("setting", str), table.take("rule", str, "equal")
    if rule not in RULES:
        table.fail("rule", f"{rule!r} is not a rule: {suggestion(rule, RULES)}")
    value = table.take_either("value", (str, int, list), "a text, a whole number or an array of texts")
    if isinstance(value, list) != (rule == "one of") or (rule in ("at least", "at most") and not isinstance(value, int)):
        table.fail("value", f"{value!r} does not fit the rule {rule!r}: limits are whole numbers, a choice is an array of texts")
    if isinstance(value, list) and not (value and all(isinstance(one, str) for one in value)):
        table.fail("value", "is not an array of texts")
    reason, cost = table.take("reason", str), table.take("cost", str)
    table.end()
    return HostWish(setting, rule, tuple(value) if isinstance(value, list) else value, reason, cost)


def _refuse_identity(file: TomlFile, node: dict[str, Any]) -> None:
    mixing = node.get("mixing")
    keys: list[Key] = [(name,) for name in NOT_A_PROFILES if name in node]
    keys += [("mixing", name) for name in NOT_A_PROFILES_MIXING if isinstance(mixing, dict) and name in mixing]
    for key in keys:
        raise file.error(("node", *key), "is not a profile's to set: put it into the node's configuration file")


def _laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both; where both have a value the second one's, and tables are joined."""
    joined = dict(under) | dict(over)
    for name in under.keys() & over.keys():
        if isinstance(under[name], dict) and isinstance(over[name], dict):
            joined[name] = _laid_over(under[name], over[name])
    return joined
