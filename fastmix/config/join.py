"""`[join]` of a node's configuration: how it comes into a network that forms itself, in place of a network file."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fastmix.config.base import Table
from fastmix.config.types import AddressText, Duration, refuse

MEAN_DELAY_MOST = timedelta(hours=1)


def _read_identity(value: object) -> object:
    if isinstance(value, str):
        try:
            if len(bytes.fromhex(value)) == 32 and len(value) == 64:
                return value.lower()
        except ValueError:
            pass
    raise refuse("is no identity: write the 64 hex digits that `fastmix keys verify` shows, in quotes")


IdentityText = Annotated[str, BeforeValidator(_read_identity)]


class JoinConfig(Table):
    """Where the network is, who may come into it, and who signs its documents. `[join]` in the file."""

    bootstrap: tuple[str, ...] = Field(default=(), strict=False)
    """Nodes that are asked first: "HOST:PORT#PIN?TOKEN", as `fastmix network show` has it. Empty: makes a network."""
    trust_first: bool = False
    """Believe a bootstrap node without a PIN, whoever answers there."""
    control_addr: AddressText = "0.0.0.0:9100"
    """Where the control plane listens, TLS over TCP."""
    announce: str | None = None
    """The IP address that others reach this node at, if it listens on all."""
    authority: bool = False
    """Sign the network's documents. The first node of a network does, whatever this says."""
    authorities: tuple[IdentityText, ...] = Field(default=(), strict=False)
    """Identities of all authorities of a network that begins with several; the same list, and `threshold`, at each of them."""
    threshold: int | None = Field(default=None, ge=1, le=64)
    """So many authorities have to sign; by default more than half."""
    admission: Literal["open", "token", "list"] = "token"
    """Whom an authority lets in: anyone, who has the token that it prints, or who is `admitted`."""
    admitted: tuple[IdentityText, ...] = Field(default=(), strict=False)
    """Identities, for `admission = "list"`."""
    max_connections: int = Field(default=1024, ge=8, le=65536)
    """Connections to the control port, at a time."""
    geometry: Literal["wan", "jumbo"] = "wan"
    """Size of the packets; of all nodes of a network the same."""
    mean_delay: Duration = timedelta(milliseconds=50)
    """Mean of the delay at each node; likewise."""
    classes: Literal[1, 2, 4] = 1
    """Priority classes; likewise."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mean_delay > MEAN_DELAY_MOST:
            raise refuse('mean_delay is more than an hour: use at most "1h"')
        if self.threshold is not None and self.threshold > max(len(self.authorities), 1):
            raise refuse(f"threshold {self.threshold} is more than the {max(len(self.authorities), 1)} authorities: lower it")
        return self
