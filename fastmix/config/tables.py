"""`[mixing]`, `[cover]`, `[keys]` and `[identity]` of a node's configuration."""

from dataclasses import fields
from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fastmix.config.base import Table
from fastmix.config.types import Duration, FilePath, FollowAfter, Strategy, refuse
from fastmix.errors import ConfigError
from fastmix.files.durations import duration_ns
from fastmix.keys.policy import KeyRotationPolicy

POLICY_FIELDS = tuple(field.name for field in fields(KeyRotationPolicy))


class ClassConfig(Table):
    """How one priority class is mixed, where it differs from `[mixing]`. `[[mixing.classes]]` in the file, class 0 first."""

    strategy: Strategy = "poisson"
    """As in `MixingConfig`, but not "priority"."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the strategy's constructor."""
    min_batch_size: int | None = Field(default=None, ge=1, le=1 << 20)
    """None: as all."""
    max_batch_size: int | None = Field(default=None, ge=1, le=1 << 20)
    """None: as all."""
    max_latency: Duration | None = None
    """None: as all."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.strategy == "priority":
            raise refuse('a class cannot have strategy = "priority": name another')
        return self

    @property
    def rule(self) -> dict[str, Any]:
        """The class as an entry of the priority strategy's `classes`."""
        own = {name: getattr(self, name) for name in ("min_batch_size", "max_batch_size", "max_latency")}
        return {"strategy": {"name": self.strategy, **self.options}} | {
            name: value for name, value in own.items() if value is not None
        }


class MixingConfig(Table):
    """When packets leave the pool. `[mixing]` in the file."""

    strategy: Strategy = "poisson"
    """A name of `STRATEGIES`, an import path "package.module:Class", or a `MixingStrategy` class or instance."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the strategy's constructor."""
    min_batch_size: int = Field(default=10, ge=1, le=1 << 20)
    """A flush waits for so many packets, until `max_latency` is reached."""
    max_batch_size: int = Field(default=100, ge=1, le=1 << 20)
    """So many packets leave in one batch, at most."""
    max_latency: Duration = timedelta(milliseconds=500)
    """No packet waits longer than this after it was due."""
    floor: int = Field(default=10, ge=0, le=1 << 20)
    """So many packets stay in the pool whenever one leaves."""
    classes: tuple[ClassConfig, ...] = Field(default=(), strict=False)
    """Strategy and limits of the priority classes; only for strategy "priority"."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_batch_size > self.max_batch_size:
            raise refuse(
                f"min_batch_size {self.min_batch_size} is above max_batch_size {self.max_batch_size}: raise one or lower one"
            )
        if self.classes and self.strategy != "priority":
            raise refuse('classes are only for strategy = "priority": set it, or remove them')
        for i, rule in enumerate(self.classes):
            least, most = rule.min_batch_size or self.min_batch_size, rule.max_batch_size or self.max_batch_size
            if least > most:
                raise refuse(f"classes[{i}] has min_batch_size {least} above max_batch_size {most}: raise one or lower one")
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """Arguments of the strategy's constructor: `options`, and the rules of `classes` where there are any."""
        return self.options | ({"classes": [rule.rule for rule in self.classes]} if self.classes else {})

    @property
    def limits(self) -> dict[str, int]:
        """The fields of `fastmix.mixing.limits.MixingLimits` that a configuration sets."""
        return {
            "min_batch_size": self.min_batch_size,
            "max_batch_size": self.max_batch_size,
            "max_latency_ns": duration_ns(self.max_latency),
            "floor": self.floor,
        }


class CoverConfig(Table):
    """The node's own loops, in a network whose links let them come back. `[cover]` in the file."""

    rate: float = Field(default=1.0, ge=0, le=1000)
    """Loops a second, at random times. At one a second a node that gets none of its packets through knows it after five; ten lost
    in a minute are no chance."""
    fill: float = Field(default=50.0, ge=0, le=10_000)
    """So many a second more, at most, where `mixing.floor` lacks residents: somebody's packet then waits for them. 0: none."""
    usual_loss: float = Field(default=0.01, gt=0, lt=0.5)
    """The share of loops that gets lost where all is well. Health names more than chance makes of it."""

    @property
    def is_on(self) -> bool:
        """Whether any are made."""
        return self.rate > 0 or self.fill > 0


class KeysConfig(Table):
    """How long keys live, in a network whose keys rotate. `[keys]` in the file."""

    slot: Duration = timedelta(minutes=10)
    """A key's slot of time. All nodes of a network have the same slots and graces."""
    early: Duration = timedelta(seconds=60)
    """A key is accepted so long before its slot."""
    late: Duration = timedelta(seconds=120)
    """And so long after it."""
    interval: Duration = timedelta(hours=24)
    """A new descriptor is published so often."""
    overlap_period: Duration = timedelta(hours=1)
    """The one before stays good for so long."""
    backup_keys: int = Field(default=3, ge=0)
    """Keys that a descriptor lists besides."""
    chain: Literal["disk", "memory", "tpm"] = "disk"
    """Where the state of the keys to come is: beside the store, sealed ("disk"); only in state_dir ("memory"); beside the store,
    and what it is sealed with in a TPM ("tpm"), where overwritten keys are gone for good."""
    follow_clock_after: FollowAfter = "never"
    """A jump of the wall clock that has stood for so long is followed without being confirmed; "never": none is."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            self.policy  # noqa: B018
        except ConfigError as error:
            raise refuse(str(error)) from None
        return self

    @property
    def policy(self) -> KeyRotationPolicy:
        """The same for programs."""
        values = {name: getattr(self, name) for name in POLICY_FIELDS}
        return KeyRotationPolicy(**values)


class IdentityConfig(Table):
    """Where a node's identity is, and what opens it, in a network whose keys rotate. `[identity]` in the file."""

    store: FilePath
    """The encrypted store (`fastmix keys init`); the audit log, and the keys to come, lie beside it."""
    passphrase_file: FilePath | None = None
    """File of mode 0600 with the passphrase, or the token's PIN. Without it: the systemd credential fastmix-passphrase, or the
    terminal."""
    passphrase_fd: int | None = Field(default=None, ge=0)
    """Open descriptor that gives it instead. It is read once, however often processes of the node die."""
    pkcs11_module: FilePath | None = None
    """Library of the PKCS#11 token that keeps the store's key."""
    pkcs11_token: str | None = None
    """Label of that token."""
    tpm: str | None = None
    """The TPM as a TCTI string; by default device:/dev/tpmrm0."""
    without_token: Literal["refuse", "degrade"] = "refuse"
    """What to do where token or TPM are gone at a start: not to start, or to go on to the end of what is published."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.passphrase_file is not None and self.passphrase_fd is not None:
            raise refuse("passphrase_file and passphrase_fd: give one of them")
        if (self.pkcs11_module is None) != (self.pkcs11_token is None):
            missing = "pkcs11_token" if self.pkcs11_token is None else "pkcs11_module"
            raise refuse(f"{missing} is missing: a token takes both pkcs11_module, its library, and pkcs11_token, its label")
        return self
