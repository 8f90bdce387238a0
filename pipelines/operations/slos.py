"""What members are promised of the pipeline's running, as numbers, and how fast the allowance for failing may burn.

Each objective is a share of good events over 28 days. Several windows at once, after the SRE workbook's table 5-8: a
page when 2 % of the allowance burns in an hour or 5 % in six, a ticket when 10 % burn in three days; the short window,
a twelfth of the long one, ends the alert soon after the cause has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WINDOWS: Final = ("5m", "30m", "1h", "6h", "3d")


@dataclass(frozen=True, slots=True)
class Burn:
    """How many times the allowed rate, over which two windows, is worth which severity."""

    rate: float
    long: str
    short: str
    severity: str


BURNS: Final = (
    Burn(14.4, "1h", "5m", "page"),
    Burn(6, "6h", "30m", "page"),
    Burn(1, "3d", "6h", "ticket"),
)


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise. `bad_ratio` is PromQL for the share of bad events, with `$w` where the window stands."""

    name: str
    alert: str
    promise: str
    target: float
    bad_ratio: str
    why: str

    @property
    def allowed(self) -> float:
        """The share that may be bad."""
        return round(1 - self.target, 6)

    def recorded(self, window: str) -> str:
        """The name of the recording rule over a window."""
        return f"loyalty:{self.name}_bad:ratio_{window}"


def _slow_share(histogram: str, label: str, le: str) -> str:
    good = f'sum by (job) (rate({histogram}_bucket{{{label},le="{le}"}}[$w]))'
    return f"1 - ({good} / sum by (job) (rate({histogram}_count{{{label}}}[$w])))"


OBJECTIVES: Final = (
    Objective(
        "freshness",
        "LoyaltyFreshnessBurn",
        "99 % of the clock's ticks have their results committed within 2 s.",
        0.99,
        _slow_share("loyalty_latency_seconds", 'since="tick"', "2.0"),
        "A tick goes through every partition each second, so there is always something to measure, and it is made at "
        "its instant: a source that sends old facts does not make the pipeline look late.",
    ),
    Objective(
        "timers",
        "LoyaltyTimersBurn",
        "99 % of what is due (activations, expiries, time-outs, triggers) is done by a tick at most 60 s later.",
        0.99,
        _slow_share("loyalty_timer_lateness_seconds", 'by="tick"', "60.0"),
        "What is told later says the same (the clock law), but a member looks at the balance now.",
    ),
    Objective(
        "outputs",
        "LoyaltyOutputsBurn",
        "99.9 % of the minutes see a commit, or have nothing to commit.",
        0.999,
        "avg_over_time(loyalty:outputs_down:bool[$w])",
        "Whoever reads the outputs has them when a commit shows them, and not before.",
    ),
)

CORRECTNESS: Final = """`loyalty verify` finds nothing: drift 0, always. There is no allowance: each difference is a
page (LoyaltyLedgerDrift), and a verification that has not ended for a day is a ticket (LoyaltyVerifyStale)."""
