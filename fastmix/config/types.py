"""Kinds of values in a configuration: durations, paths, addresses, strategies; what is wrong with one is said in one sentence."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from fastmix.files.addresses import parse_address
from fastmix.files.durations import parse_duration
from fastmix.files.toml import suggestion

STRATEGIES = ("poisson", "timed", "size", "threshold", "adaptive", "priority")
"""Names of the strategies that come with fastmix."""
NEVER, FOLLOW_LEAST = "never", timedelta(minutes=1)


def refuse(problem: str) -> PydanticCustomError:
    """What a validator raises: the problem, and the remedy."""
    return PydanticCustomError("fastmix", "{problem}", {"problem": problem})


def _read_duration(value: object) -> object:
    if isinstance(value, str):
        try:
            value = parse_duration(value)
        except ValueError as error:
            raise refuse(str(error)) from None
    if not isinstance(value, timedelta):
        raise refuse('is not a duration: write a number and a unit in quotes, such as "250ms"')
    if value < timedelta(0):
        raise refuse("is negative: a duration is 0 or more")
    return value


def _read_path(value: object) -> object:
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise refuse("is not a path")
    return Path(value)


def _read_address(value: object) -> object:
    if not isinstance(value, str):
        raise refuse('is not a text: write "203.0.113.7:9000"')
    try:
        parse_address(value)
    except ValueError as error:
        raise refuse(str(error)) from None
    return value


def _read_strategy(value: object) -> object:
    if isinstance(value, str) and ":" in value:
        module, _, name = value.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            raise refuse('is not an import path: write "package.module:Class"')
    elif isinstance(value, str) and value not in STRATEGIES:
        raise refuse(f'is not a strategy: {suggestion(value, STRATEGIES)} (your own: "package.module:Class")')
    elif isinstance(value, (bool, int, float, list, dict)) or value is None:
        raise refuse("is not a strategy: give a name, an import path, or a MixingStrategy")
    return value


def _read_follow(value: object) -> object:
    if value == NEVER:
        return value
    try:
        after = _read_duration(value)
    except PydanticCustomError as error:
        raise refuse(f'{error.message()}, or "never"') from None
    if isinstance(after, timedelta) and after < FOLLOW_LEAST:
        raise refuse('is less than a minute, in which nobody could object to a wrong clock: write "1min" or more, or "never"')
    return after


Duration = Annotated[timedelta, BeforeValidator(_read_duration)]
"""A `timedelta`, or a text such as "250ms"; never a bare number, whose unit would be a guess."""
FollowAfter = Annotated[timedelta | Literal["never"], BeforeValidator(_read_follow)]
"""A `Duration` of a minute or more, or "never"."""
FilePath = Annotated[Path, BeforeValidator(_read_path)]
AddressText = Annotated[str, BeforeValidator(_read_address)]
Strategy = Annotated[Any, BeforeValidator(_read_strategy)]
