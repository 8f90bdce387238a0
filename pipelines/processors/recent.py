"""Large accounts as they were last written, so that the next visit need not decode them again."""

from __future__ import annotations

from typing import Final

from pipelines.domain.account import Account
from state import layout

LARGE_BYTES: Final = 4_096
"""From here on decoding is most of a fact's time. A year of a member of flesh and blood is smaller."""
KEPT_MAX: Final = 16
KEPT_BYTES_MAX: Final = 8 << 20
"""Of all together, as written; decoded they take several times that."""


class RecentAccounts:
    """Gives an account once, and only for the very bytes that were written of it: one that a visit changed and did not
    write, or that was written by others, is never seen again."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, Account]] = {}

    def take(self, member_id: str, value: bytes) -> Account:
        """The account that these bytes are of."""
        written, account = self._kept.pop(member_id, (b"", None))
        return layout.account_of(value) if account is None or written != value else account

    def keep(self, account: Account, written: bytes) -> None:
        """Remember it, if it is large, in place of those that were kept longest."""
        if not LARGE_BYTES <= len(written) <= KEPT_BYTES_MAX:
            return
        self._kept[account.member_id] = written, account
        while len(self._kept) > KEPT_MAX or self._bytes() > KEPT_BYTES_MAX:
            del self._kept[next(iter(self._kept))]

    def _bytes(self) -> int:
        return sum(len(written) for written, _ in self._kept.values())
