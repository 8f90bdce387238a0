"""The score of the last `make mutants` by module, and each survivor with its change.

What the types refuse could never be committed, so the score is of what is left to the tests.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

DOMAIN = Path("pipelines/domain")
REFUSED, KILLED, SURVIVED = "refused", "killed", "survived"
KINDS = {"caught by type check": REFUSED, "killed": KILLED, "timeout": KILLED, "survived": SURVIVED}


def change(name: str, path: Path) -> str:
    """The lines that are not the same, first as they are and then as they were made."""
    lines = get_diff_for_mutant(name, path=path).splitlines()
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return " ".join(f"{line[0]} {line[1:].strip()}" for line in changed)


def main() -> int:
    total: Counter[str] = Counter()
    survivors: list[str] = []
    print("| Module | Mutants | Refused by types | Left to tests | Killed | Survived | Score |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for path in sorted(DOMAIN.glob("*.py")):
        data = SourceFileMutationData(path=path)
        data.load()
        kinds = {n: status_by_exit_code[code] for n, code in data.exit_code_by_key.items()}
        count = Counter(KINDS.get(kind, kind) for kind in kinds.values())
        if count:
            row(f"`{path.name}`", count)
        total += count
        survivors += [
            f"{name.removeprefix('pipelines.domain.')} ({kind}): {change(name, path)}"
            for name, kind in kinds.items()
            if KINDS.get(kind) not in (REFUSED, KILLED)
        ]
    row("all", total)
    print("", *survivors, sep="\n")
    return 0 if total else 1


def row(name: str, count: Counter[str]) -> None:
    left = count.total() - count[REFUSED]
    score = f"{100 * count[KILLED] / left:.1f} %" if left else ""
    figures = (count.total(), count[REFUSED], left, count[KILLED], left - count[KILLED], score)
    print(f"| {name} |", " | ".join(map(str, figures)), "|")


if __name__ == "__main__":
    sys.exit(main())
