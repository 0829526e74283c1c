"""Options that several kinds of `fastmix bench` have in common. Light: `--help` reads them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """The node under test."""

    geometry: Literal["wan", "jumbo"] = "wan"
    """Packet sizes."""
    workers: Annotated[int | None, Parameter(validator=Number(gte=1, lte=16))] = None
    """Worker threads. By default what the profile says, or 1."""
    io: Literal["auto", "gso", "mmsg", "socket"] | None = None
    """The node's I/O. By default what the profile says."""
    profile: str | None = None
    """A profile for the node, as of `fastmix run --profile`."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedNodeOptions(NodeOptions):
    """The node, and what comes to it."""

    traffic: Literal["plain", "train"] = "plain"
    """How packets come: plain (each by itself) or train (16 of a link in one segmented send)."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """Where the result goes."""

    json: bool = False
    """Print one JSON object and nothing else."""
    html: Path | None = None
    """Write a report with plots into this file."""
