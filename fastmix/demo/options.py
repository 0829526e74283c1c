"""What can be asked of the demo."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`seed` fixes contents and routes, never keys or shuffle. `file` is sent in place of made-up messages.

    `slot`: the nodes' keys live for slots of that length; None: as long as the demo.
    """

    messages: int = 1000
    file: Path | None = None
    geometry: str = "wan"
    strategy: str = "poisson"
    seed: int | None = None
    json: bool = False
    slot: timedelta | None = None
