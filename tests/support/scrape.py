"""What a worker's /metrics says, as Prometheus reads it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


@dataclass(frozen=True, slots=True)
class Scraped:
    """One scrape."""

    samples: tuple[Sample, ...]
    names: frozenset[str]
    """Of the metrics of our own."""

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this sample that have these labels."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())


def scrape(port: int) -> Scraped:
    answered = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5)
    answered.raise_for_status()
    families = list(text_string_to_metric_families(answered.text))
    ours = [family for family in families if family.name.startswith("loyalty_")]
    names = {f.name + ("_total" if f.type == "counter" else "") for f in ours}
    return Scraped(tuple(sample for family in families for sample in family.samples), frozenset(names))


def free_port() -> int:
    """A port that nobody listens on in this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
