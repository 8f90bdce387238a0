"""A ledger's digest: equal for two ledgers exactly when every entry of one, ids included, is an entry of the other."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from pipelines.audit.reading import Record, Topics

_SCHEMA_ID = slice(0, 5)


def ledger_digest(topics: Topics, ledger: str) -> tuple[int, str]:
    """How many entries a committed reader sees, and the sha256 over their sorted bytes (the schema's id apart)."""
    seen: list[bytes] = []

    def take(records: Sequence[Record]) -> None:
        seen.extend(sha256((r.value or b"")[_SCHEMA_ID.stop :]).digest() for r in records)

    topics.read(ledger, take)
    return len(seen), sha256(b"".join(sorted(seen))).hexdigest()
