"""A home for a stack of a test's own, which is stopped whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.local import stack
from pipelines.local.endpoints import KAFKA_VARIABLE, REGISTRY_VARIABLE


@pytest.fixture(autouse=True)
def no_given_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KAFKA_VARIABLE, raising=False)
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stack.down(tmp_path / "home")
