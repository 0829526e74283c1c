"""TOML files whose errors name file, line, key, value and remedy.

`TomlFile` parses a file; `Table` takes typed values out of one of its tables and refuses what is left over. The standard
library's parser keeps no line numbers, so `TomlFile.line` finds them with a second scan, and only once there is an error.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from fastmix.errors import ConfigError

Key = tuple[str | int, ...]
"""The way to a value: table names, positions in arrays, key."""

T = TypeVar("T")
_KINDS = {
    str: "a text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "an array",
    dict: "a table",
}
_SHOWN_MAX = 80
_BARE = re.compile("[A-Za-z0-9_-]+")
"""A key that needs no quotes."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown name: the nearest known one, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"


def shown(value: object) -> str:
    """A value as it stands in an error: on one line, cut to 80 characters."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


def key_name(key: Key) -> str:
    """`("node", 1, "layer")` as `node[1].layer`."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return name.removeprefix(".")


def toml_text(value: object) -> str:
    """A value of JSON's kinds in the words of a TOML file: `true`, `[0, 1]`, `"200us"`, `{ floor = 3 }`; None is `not set`."""
    if value is None:
        return "not set"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_text, value))}]"
    if isinstance(value, dict):
        pairs = [f"{name if _BARE.fullmatch(name) else toml_text(name)} = {toml_text(one)}" for name, one in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    return json.dumps(value, ensure_ascii=False)


class TomlFile:
    """A parsed file. `values` is what `tomllib` made of it."""

    def __init__(self, path: str | Path) -> None:
        """Reads and parses; `ConfigError` names the file, and the line of a syntax error."""
        self.path = Path(path)
        try:
            self.text = self.path.read_bytes().decode()
            self.values: dict[str, Any] = tomllib.loads(self.text)
        except OSError as error:
            raise ConfigError(f"{path}: cannot read the file: {error.strerror}; check the path and its permissions") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: {_syntax_error(str(error), self.text)}") from None

    def table(self) -> "Table":
        """The whole file as a table."""
        return Table(self, (), self.values)

    def line(self, key: Key) -> int | None:
        """The line where a value, or the nearest table around it, stands; None where there is none."""
        lines = _lines(self.text)
        for size in range(len(key), 0, -1):
            if key[:size] in lines:
                return lines[key[:size]]
        return None

    def place(self, key: Key) -> str:
        """File and line of a key: `network.toml:7`."""
        line = self.line(key)
        return f"{self.path}:{line}" if line else str(self.path)

    def error(self, key: Key, problem: str) -> ConfigError:
        """An error at a key: `network.toml:7: node[1].layer: <problem>`."""
        return ConfigError(": ".join(filter(None, (self.place(key), key_name(key), problem))))


class Table:
    """One table of a file, emptied key by key; `end` refuses the keys that nobody took."""

    def __init__(self, file: TomlFile, key: Key, values: dict[str, Any]) -> None:
        self.file = file
        self.key = key
        self._left = dict(values)
        self._known: list[str] = []

    def take(self, name: str, kind: type[T], default: T | None = None) -> T:
        """The value of a key, of exactly that type; `ConfigError` where it is missing (without a default) or another."""
        self._known.append(name)
        if name not in self._left:
            if default is None:
                self.fail(None, f"{name} is missing: add {name} = {_KINDS[kind]}")
            return default
        value = self._left.pop(name)
        if type(value) is not kind:
            self.fail(name, f"{shown(value)} is not {_KINDS[kind]}")
        return value

    def has(self, name: str) -> bool:
        """Whether the key is there, and not yet taken."""
        return name in self._left

    def take_either(self, name: str, kinds: tuple[type, ...], what: str) -> Any:
        """The value of a key that may have several types; `what` names them in the error."""
        self._known.append(name)
        if name not in self._left:
            self.fail(None, f"{name} is missing: add {name} = {what}")
        value = self._left.pop(name)
        if type(value) not in kinds:
            self.fail(name, f"{shown(value)} is not {what}")
        return value

    def take_tables(self, name: str) -> list["Table"]:
        """The tables of an array of tables (`[[name]]`), in order; none where it is absent."""
        self._known.append(name)
        values = self._left.pop(name, [])
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            self.fail(name, f"is not an array of tables: write [[{name}]] above each")
        return [Table(self.file, (*self.key, name, i), value) for i, value in enumerate(values)]

    def end(self) -> None:
        """Refuses keys that were not taken, with the nearest known name."""
        for name in self._left:
            self.fail(name, f"is not a known key: {suggestion(name, self._known)}")

    def fail(self, name: str | None, problem: str) -> NoReturn:
        """Raises the `ConfigError` of one key, or of the table itself."""
        raise self.file.error(self.key if name is None else (*self.key, name), problem)


def _syntax_error(message: str, text: str) -> str:
    """tomllib's message with the line in front and the line's text behind: `line 3, column 5: Expected '=' …: in 'a b'`."""
    problem, _, place = message.removesuffix(")").rpartition(" (at ")
    sources = text.rstrip().split("\n")
    if place == "end of document":
        return f"line {len(sources)}: not valid TOML: {problem}, but the file ends"
    number = place.removeprefix("line ").partition(",")[0]
    source = sources[int(number) - 1 : int(number)] if number.isdigit() else []
    return f"{place}: not valid TOML: {problem}" + (f" in {shown(source[0].strip())}" if source else "")


def _lines(text: str) -> dict[Key, int]:
    """The line of every table and key. A statement is the fewest lines that parse by themselves."""
    lines: dict[Key, int] = {}
    table: Key = ()
    n_tables: dict[Key, int] = {}
    statement = ""
    start = 0
    for number, source in enumerate(text.split("\n"), 1):
        if not statement:
            start = number
        statement += source + "\n"
        try:
            values = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if statement.lstrip().startswith("["):
            table = _table_key(values, n_tables)
            lines.setdefault(table, start)
        else:
            _add_keys(lines, table, values, start)
        statement = ""
    return lines


def _table_key(values: dict[str, Any], n_tables: dict[Key, int]) -> Key:
    """The key of a header that was parsed alone; counts the tables of each array."""
    key: Key = ()
    while values:
        [(name, value)] = values.items()
        key = (*key, name)
        if isinstance(value, list):
            n_tables[key] = n_tables.get(key, 0) + 1
            value = value[0]
        if key in n_tables:
            key = (*key, n_tables[key] - 1)
        values = value
    return key


def _add_keys(lines: dict[Key, int], table: Key, values: object, line: int) -> None:
    """Notes the line of a key, and of all inside its value."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for name, value in items:
        lines.setdefault((*table, name), line)
        _add_keys(lines, (*table, name), value, line)
