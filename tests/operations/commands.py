"""The commands in the fenced blocks of a page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

_FENCED = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fenced_commands(page: str) -> list[list[str]]:
    """Each `loyalty ...` of the page's fenced blocks, as arguments, in order."""
    return [command for block in fenced_blocks(page) for command in block]


def fenced_blocks(page: str) -> list[list[list[str]]]:
    """The commands of each fenced block. A fence that does not begin its line is a fault of the page."""
    assert page.count("```") == 2 * len(_FENCED.findall(page)), "a fence is not on a line of its own"
    return [[shlex.split(line) for line in block.splitlines() if line] for block in _FENCED.findall(page)]


def part(page: Path, heading: str) -> str:
    """The text under a heading of a page."""
    _, _, behind = page.read_text().partition(f"\n## {heading}\n")
    assert behind, f"{page.name} has no part {heading}"
    return behind.partition("\n## ")[0]
