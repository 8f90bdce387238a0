"""How fast a process of ours starts: what it imports is compiled, and nothing heavy comes with it unasked."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

IMPORTED = """
import json, sys, pipelines.worker
print(json.dumps([m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)]))
"""


def test_all_that_a_worker_imports_is_compiled() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)

    imported = [path for path in json.loads(done.stdout) if path.endswith(".py") and "site-packages" in path]
    assert len(imported) > 500
    assert not [path for path in imported if not Path(cache_from_source(path)).exists()]


def test_a_worker_does_not_wait_for_a_grammar_of_addresses() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)

    assert not [path for path in json.loads(done.stdout) if "/lark/" in path or "/rfc3987_syntax/" in path]
