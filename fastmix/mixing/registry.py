"""Finds a strategy by its name or import path."""

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from fastmix.errors import ConfigError
from fastmix.mixing.adaptive import AdaptiveMix
from fastmix.mixing.poisson import PoissonMix
from fastmix.mixing.priority import PriorityMix
from fastmix.mixing.strategy import MixingStrategy
from fastmix.mixing.threshold import ThresholdMix
from fastmix.mixing.timed import TimedMix

STRATEGIES: dict[str, type[MixingStrategy]] = {
    "poisson": PoissonMix,
    "timed": TimedMix,
    "size": ThresholdMix,
    "threshold": ThresholdMix,
    "adaptive": AdaptiveMix,
    "priority": PriorityMix,
}
"""Names that configurations may use."""


def resolve(spec: "MixingStrategy | type[MixingStrategy] | str | Mapping[str, Any]", **parameters: Any) -> MixingStrategy:
    """The strategy that `spec` names: an instance (returned as it is), a class, a name of `STRATEGIES`, an import path
    "package.module:Name", or a mapping with `name` (one of these) and parameters, as a configuration file gives it.
    `ConfigError` says what is wrong.
    """
    if isinstance(spec, Mapping):
        parameters = {str(key): value for key, value in spec.items() if key != "name"} | parameters
        if "name" not in spec:
            raise ConfigError(f"a mixing strategy without a name: add name = one of {', '.join(STRATEGIES)}")
        spec = spec["name"]
    if isinstance(spec, MixingStrategy):
        if parameters:
            raise ConfigError(f"parameters {sorted(parameters)} for a strategy that is made already: give them to its class")
        return spec
    found = spec if isinstance(spec, type) else _named(spec)
    if not (isinstance(found, type) and issubclass(found, MixingStrategy)):
        raise ConfigError(f"{spec!r} is not a MixingStrategy: make it a subclass of fastmix.MixingStrategy")
    try:
        return found(**parameters)
    except TypeError as error:
        raise ConfigError(f"mixing strategy {found.__name__} cannot be made with {sorted(parameters)}: {error}") from None


def _named(name: Any) -> Any:
    if isinstance(name, str) and name in STRATEGIES:
        return STRATEGIES[name]
    if isinstance(name, str) and ":" in name:
        return _imported(name)
    near = difflib.get_close_matches(str(name), STRATEGIES, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"mixing strategy {name!r} is not known: use one of {', '.join(STRATEGIES)}, "
        f'or an import path "package.module:Name".{hint}'
    )


def _imported(path: str) -> Any:
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise ConfigError(f"mixing strategy {path!r}: {module_name} cannot be imported ({why})") from None
    try:
        return getattr(module, name)
    except AttributeError:
        raise ConfigError(f"mixing strategy {path!r}: {module_name} has no {name!r}") from None
