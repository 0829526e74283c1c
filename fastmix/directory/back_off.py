"""When to try again what has failed: later each time, and drawn, so that many do not come back to one at the same moment."""

from dataclasses import dataclass

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 2.0


@dataclass
class BackOff:
    """Waits twice as long each time up to `longest_s`, drawn from the upper half. Pure: the moment, seconds of a steady clock,
    and a draw from 0 to 1 are arguments."""

    failures: int = 0
    not_before: float = 0.0
    longest_s: float = LONGEST_WAIT_S

    def failed(self, now: float, draw: float) -> None:
        """One more try that has come to nothing."""
        longest = min(self.longest_s, FIRST_WAIT_S * 2 ** min(self.failures, 32))
        self.failures += 1
        self.not_before = now + longest * (0.5 + draw / 2)

    def succeeded(self) -> None:
        """Begins again."""
        self.failures, self.not_before = 0, 0.0
