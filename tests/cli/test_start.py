"""How fast a process of ours starts: what it imports is compiled, and nothing heavy comes with it unasked."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest

IMPORTED = """
import json, sys, pipelines.worker
print(json.dumps([m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)]))
"""


@pytest.fixture(scope="module")
def imported() -> list[str]:
    """The files of all modules that a worker has once it could start."""
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    files: list[str] = json.loads(done.stdout)
    return files


def test_all_that_a_worker_imports_is_compiled(imported: list[str]) -> None:
    sources = [path for path in imported if path.endswith(".py") and "site-packages" in path]

    assert len(sources) > 500
    assert not [path for path in sources if not Path(cache_from_source(path)).exists()]


def test_a_worker_does_not_wait_for_a_grammar_of_addresses(imported: list[str]) -> None:
    assert not [path for path in imported if "/lark/" in path or "/rfc3987_syntax/" in path]
