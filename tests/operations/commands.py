"""The commands in the fenced blocks of a page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

_FENCED = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fenced_commands(page: str) -> list[list[str]]:
    """Each `loyalty ...` of the page's fenced blocks, as arguments, in order."""
    lines = [line.strip() for block in _FENCED.findall(page) for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line]


def part(page: Path, heading: str) -> str:
    """The text under a heading of a page."""
    _, _, behind = page.read_text().partition(f"\n## {heading}\n")
    assert behind, f"{page.name} has no part {heading}"
    return behind.partition("\n## ")[0]
