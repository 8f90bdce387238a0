"""What a worker's /metrics says, as Prometheus reads it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from time import time

import httpx
from prometheus_client.parser import text_string_to_metric_families

from pipelines.operations.looks import Look


@dataclass(frozen=True, slots=True)
class Scraped(Look):
    """One scrape."""

    names: frozenset[str]
    """Of the metrics of our own."""


def scrape(port: int) -> Scraped:
    url = f"http://127.0.0.1:{port}/metrics"
    answered = httpx.get(url, timeout=5)
    answered.raise_for_status()
    families = list(text_string_to_metric_families(answered.text))
    ours = [family for family in families if family.name.startswith("loyalty_")]
    names = {f.name + ("_total" if f.type == "counter" else "") for f in ours}
    samples = tuple(sample for family in families for sample in family.samples)
    return Scraped(url, time(), samples, frozenset(names))


def free_port() -> int:
    """A port that nobody listens on in this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
