"""Several workers, looked at together again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import httpx

from pipelines.operations.looks import (
    LATENCY_OVER_S,
    RATE_OVER_S,
    Figures,
    Look,
    Recent,
    Unanswered,
    ask,
    figures,
)
from pipelines.operations.thresholds import Past, past

START: Final = Look("", 0.0, ())
"""A worker before it counted anything."""


class Workers:
    """The endpoints that are watched, in the order in which they were given."""

    def __init__(self, client: httpx.Client, addresses: Sequence[str]) -> None:
        self._client = client
        self._recent = {url: Recent() for url in addresses}
        self.unanswered: tuple[Unanswered, ...] = ()
        """Of the last look."""

    def look(
        self, at_s: float, latency_since_start: bool = False
    ) -> tuple[tuple[Figures, ...], tuple[Past, ...]]:
        """Ask all at an instant (UTC, seconds): the figures of those that answer, and what is past a threshold."""
        seen = [ask(self._client, url, at_s) for url in self._recent]
        self.unanswered = tuple(found for found in seen if isinstance(found, Unanswered))
        looks = [found for found in seen if isinstance(found, Look)]
        return tuple(self._take(found, latency_since_start) for found in looks), past(seen)

    def _take(self, look: Look, latency_since_start: bool) -> Figures:
        recent = self._recent[look.url]
        recent.take(look)
        latency_from = START if latency_since_start else recent.since(LATENCY_OVER_S)
        return figures(look, recent.since(RATE_OVER_S), latency_from)
