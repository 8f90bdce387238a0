"""Which alerts `tests/broker/test_runbooks.py` and `test_drills.py` bring about on a real worker."""

from __future__ import annotations

from typing import Final

DRILLED: Final = frozenset(
    {
        "LoyaltyBuildsDiffer",
        "LoyaltyClockStopped",
        "LoyaltyDeadLetters",
        "LoyaltyTransactionStuck",
        "LoyaltyVerifyStale",
        "LoyaltyWorkerDown",
    }
)
