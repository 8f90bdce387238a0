"""What is built from sources before it can run, once for all checkouts of a machine, until a source changes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pipelines.failure import Failure
from pipelines.local.artefacts import cache_dir

LEFT: Final = frozenset({"target", "node_modules", "dist"})
"""What a build by hand leaves in a source folder."""


def built(name: str, source: Path, commands: Sequence[Sequence[str]], besides: Iterable[Path] = ()) -> Path:
    """A copy of the source folder in which the commands ran: whole, or a Failure. `besides`: files that they read."""
    inside = (p for p in source.rglob("*") if p.is_file() and not LEFT & set(p.relative_to(source).parts))
    named = [(str(p.relative_to(source)), p) for p in inside] + [(p.name, p) for p in besides]
    read = b"".join(called.encode() + path.read_bytes() for called, path in sorted(named))
    kept = cache_dir() / f"{name}-{hashlib.sha256(read).hexdigest()[:16]}"
    if not kept.exists():
        with TemporaryDirectory(dir=kept.parent) as scratch:
            made = Path(scratch) / "made"
            shutil.copytree(source, made, ignore=shutil.ignore_patterns(*LEFT))
            for command in commands:
                _run(name, command, made)
            if not kept.exists():
                made.rename(kept)
    return kept


def _run(name: str, command: Sequence[str], inside: Path) -> None:
    if shutil.which(command[0]) is None:
        raise Failure(f"{command[0]} is not on the PATH; it builds {name}", f"install {command[0]}")
    done = subprocess.run(command, cwd=inside, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise Failure(f"`{' '.join(command)}` failed for {name}:\n{said}", "read what it said; then again")
