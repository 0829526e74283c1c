"""What all tables of a configuration have in common: they are frozen, strict about kinds and names, and wrong values are named.

Every wrong value is a `ConfigError` that says place, key, value and remedy.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from fastmix.errors import ConfigError
from fastmix.files.durations import format_duration
from fastmix.files.toml import Key, key_name, shown, suggestion


class Table(BaseModel):
    """Frozen, strict about types and names. Wrong values raise `ConfigError`, also from the constructor."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True, use_attribute_docstrings=True
    )

    if not TYPE_CHECKING:  # type checkers see the fields as parameters

        def __init__(self, /, **values: object) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise config_error(error, type(self), lambda _key: type(self).__name__) from None

        __init__.__pydantic_base_init__ = True  # a nested table is then checked as part of the whole, under its whole key


def plain(value: object) -> object:
    """A value as JSON and the file have it; a program's own objects by their names."""
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, Table):
        value = {name: getattr(value, name) for name in type(value).model_fields if getattr(value, name) is not None}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    return str(value)


def config_error(error: ValidationError, model: type[Table], place: Callable[[Key], str]) -> ConfigError:
    """All errors of a model, one line each: place, key, value, remedy."""
    lines = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":  # a default that only follows from a wrong field
            continue
        key: Key = tuple(detail["loc"])
        problem = _problem(detail, _model_at(model, key[:-1]))
        lines.append(": ".join(filter(None, (place(key), key_name(key), problem))))
    return ConfigError("\n".join(lines))


def _problem(detail: ErrorDetails, model: type[Table]) -> str:
    """One error of pydantic's in our words."""
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return f"is not a known key: {suggestion(str(detail['loc'][-1]), model.model_fields)}"
    if kind == "missing":
        return f"is missing: add it. {model.model_fields[str(detail['loc'][-1])].description}"
    message = detail["msg"]
    if isinstance(value, (Mapping, Table)) and kind == "fastmix":
        return message
    return f"{shown(value)} {message if kind == 'fastmix' else _in_our_words(detail)}"


KINDS = {
    "int": "is not a whole number: write it without quotes, such as 4",
    "bool": "is neither true nor false: write one of the two, without quotes",
    "string": 'is not a text: write it in quotes, such as "mix-7"',
    "tuple": "is not an array: write one such as [0, 1]",
    "dict": 'is not a table: write one such as { interval = "60ms" }',
    "model": "is not a table: write its settings under a header of their own",
}
"""What is expected instead of a value of the wrong kind. `model`: also an entry of [[mixing.classes]]."""


def _in_our_words(detail: ErrorDetails) -> str:
    """Why a value is refused by its kind or its range, and what is expected."""
    kind, _, why = detail["type"].partition("_")
    context = detail.get("ctx", {})
    match detail["type"]:
        case "literal_error":
            return f"is not a choice: write {context['expected'].replace(chr(39), chr(34))}"
        case "greater_than_equal":
            return f"is too small: write {context['ge']} or more"
        case "less_than_equal":
            return f"is too large: write {context['le']} or less"
        case "less_than":
            return f"is too large: write {context['lt'] - 1} or less"
        case "string_too_short" | "string_too_long":
            return "has the wrong length: write " + ("at least one character" if why == "too_short" else "fewer characters")
    return KINDS.get(kind) or f"is refused: {detail['msg']}"


def _model_at(model: type[Table], key: Key) -> type[Table]:
    """The model that a key's table is checked by."""
    for name in key:
        field = model.model_fields.get(str(name))
        inner = () if field is None else (field.annotation, *get_args(field.annotation))
        model = next((kind for kind in inner if isinstance(kind, type) and issubclass(kind, Table)), model)
    return model
