"""Which alerts `tests/broker/test_runbooks.py` brings about on a real worker."""

from __future__ import annotations

from typing import Final

DRILLED: Final = frozenset({"LoyaltyClockStopped", "LoyaltyDeadLetters", "LoyaltyWorkerDown"})
