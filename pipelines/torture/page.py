"""The tables of docs/RELIABILITY.md, written from a run, so that nobody types a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from pipelines.failure import Failure
from pipelines.torture.matrix import MATRIX, where

BEGIN: Final = "<!-- run: written by `loyalty torture --report`, do not edit -->"
END: Final = "<!-- end of run -->"
MATRIX_BEGIN: Final = "<!-- matrix: written from pipelines/torture/matrix.py, do not edit -->"
MATRIX_END: Final = "<!-- end of matrix -->"


def by_fault(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Of each kind: its number, name, how often it was struck and recovered, median and worst seconds to recover.

    Two faults at once count for both, with the time that it took to recover from the two.
    """
    struck: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for step in document["struck"]:
        for number, name in zip(step["faults"], step["names"], strict=True):
            struck.setdefault((number, name), []).append(step)
    rows: list[tuple[str, ...]] = []
    for (number, name), steps in sorted(struck.items(), key=lambda kind: (int(kind[0][0][1:]), kind[0][1])):
        took = [step["recovered_s"] for step in steps if step["recovered_s"] is not None]
        well = sum(step["outcome"] == "recovered" for step in steps)
        times = (f"{median(took):.1f}", f"{max(took):.1f}") if took else ("-", "-")
        rows.append((number, name, str(len(steps)), str(well), *times))
    return rows


def write_page(page: Path, document: Mapping[str, Any], command: str) -> None:
    """Put the run between the page's marks."""
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise Failure(f"{page} has no marks for a run", f"put two lines into it: {BEGIN} and {END}")
    page.write_text(_between(text, BEGIN, tables(document, command), END), encoding="utf-8")


def with_matrix(text: str) -> str:
    """The page's text with the fault matrix between its marks."""
    rows = [(row.number, row.what, where(row)) for row in MATRIX]
    return _between(
        text, MATRIX_BEGIN, _markdown(("Fault", "What", "Where it is shown"), rows, 3) + "\n", MATRIX_END
    )


def _between(text: str, begin: str, new: str, end: str) -> str:
    before, rest = text.split(begin, 1)
    return f"{before}{begin}\n{new}{end}{rest.split(end, 1)[1]}"


def tables(document: Mapping[str, Any], command: str) -> str:
    """The run in Markdown."""
    numbers = document["figures"]
    told = [
        f"`{command}`: {document['faults']} faults in {len(document['struck'])} steps, "
        f"{numbers['facts acknowledged']:,} facts acknowledged, {numbers['of these bad on purpose']:,} of them bad on "
        f"purpose; {numbers['records aborted']:,} records aborted, {numbers['worker exits']:,} exits of workers. "
        + _in_a_word(document),
        "",
        _markdown(
            ("Fault", "Name", "Struck", "Recovered", "Median, s", "Worst, s"),
            by_fault(document),
            numbers_from=2,
        ),
        "",
        _markdown(("Exit code", "Exits"), list(_texts(document["exits_by_code"].items())), numbers_from=1),
        "",
        _markdown(("Oracle", "Check", "Promise", "Looked at", "Wrong"), _verdicts(document), numbers_from=3),
    ]
    findings = [f"- {finding}" for finding in document["findings"]]
    return "\n".join([*told, *([""] if findings else []), *findings]) + "\n"


def _in_a_word(document: Mapping[str, Any]) -> str:
    if any(verdict["wrong"] for verdict in document["verdicts"]):
        return "**Something is lost, doubled or altered**; see below."
    if document["clean"]:
        return "Nothing lost, nothing doubled."
    return "Nothing lost, nothing doubled; **but not all was as required**, see below."


def _verdicts(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    ordered = sorted(document["verdicts"], key=lambda v: (int(v["oracle"][1:]), v["check"]))
    return [
        (v["oracle"], v["check"], v["promise"], f"{v['looked_at']:,}", f"{v['wrong']:,}") for v in ordered
    ]


def _texts(pairs: Any) -> list[tuple[str, ...]]:
    return [tuple(str(part) for part in pair) for pair in pairs]


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int) -> str:
    rule = ["---" if nth < numbers_from else "--:" for nth in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))
