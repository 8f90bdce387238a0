"""How much is left to do, when the brokers are slow to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.runtime import offsets
from pipelines.runtime.settings import settings


def test_what_the_brokers_do_not_say_in_time_counts_as_left_and_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place, said = ("orders", 0), iter([None, False])
    monkeypatch.setattr(offsets, "Group", lambda *_: None)
    monkeypatch.setattr(offsets, "ends", lambda *_, **__: {place: 5})
    monkeypatch.setattr(offsets, "_shown", lambda *_: next(said))
    nobody: Any = None
    chosen = settings(bootstrap_servers="none", schema_registry_url="none", state_dir=tmp_path, replica="w0")
    left = offsets.Backlog(nobody, chosen, 1)

    assert left._any_record({place: 1}, {place: (4, 5)})
    assert not left._any_record({place: 1}, {place: (4, 5)})
    assert not left._any_record({place: 1}, {place: (4, 5)}), "and what was said is kept"
