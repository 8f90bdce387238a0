"""The house checks itself: what must hold of the repository as a whole."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipelines", "schemas", "state")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
TRACKED = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    if name and (ROOT / name).is_file()
)
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".avsc", ".json", ".sql", ".xml", ".lock", ".txt", ""}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_names_of_our_packages_belong_to_this_repository() -> None:
    import pipelines
    import schemas
    import state

    for package in (pipelines, schemas, state):
        assert package.__file__ is not None
        assert Path(package.__file__).parent.parent == ROOT, f"{package.__name__} is a stranger's"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_module_opens_with_its_promise(path: Path) -> None:
    text = path.read_text()
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), f"{named(path)}: no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_no_module_is_too_long_to_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600, f"{named(path)}: split it where the nouns split"


DOMAIN = sorted((ROOT / "pipelines/domain").glob("*.py")) + sorted(
    (ROOT / "pipelines/processors").glob("*.py")
)
CLOCKS = re.compile(r"\b(datetime\.now|utcnow|time\.time|monotonic|uuid4|random\.)")


@pytest.mark.parametrize("path", DOMAIN, ids=named)
def test_the_rules_know_no_clock_and_no_chance(path: Path) -> None:
    assert not CLOCKS.findall(path.read_text()), named(path)


@pytest.mark.parametrize("path", DOMAIN, ids=named)
def test_points_and_money_are_never_floats(path: Path) -> None:
    tree = ast.parse(path.read_text())
    floats = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
    divisions = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div) and "at_ms / 1000" not in ast.unparse(n)
    ]
    assert not floats, named(path)
    assert not divisions, [ast.unparse(n) for n in divisions]


REGISTRIES = re.compile(
    "|".join(
        re.escape(a + b) for a, b in (("pypi", ".org"), ("pythonhosted", ".org"), ("repo1.maven", ".org"))
    )
)


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_nobody_asks_the_admin_client_for_a_groups_offsets(path: Path) -> None:
    """librdkafka 2.12.2 ends the process then, while the coordinator is new, loading or moves: see `offsets.Group`."""
    assert "list_consumer_group_offsets" not in path.read_text()


def test_no_address_of_a_package_registry_stands_in_the_repository() -> None:
    found = [
        named(path)
        for path in TRACKED
        if path.suffix in TEXT and REGISTRIES.search(path.read_text(errors="ignore"))
    ]
    assert not found


def test_no_path_of_somebodys_machine_stands_in_the_repository() -> None:
    private = re.compile("|".join(("/" + "work/", "/" + "root/", "/home/" + "[a-z]")))
    found = [
        named(path)
        for path in TRACKED
        if path.suffix in TEXT and private.search(path.read_text(errors="ignore"))
    ]
    assert not found


def test_every_runbook_has_the_same_five_parts() -> None:
    parts = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation", "## Afterwards"]
    for runbook in sorted((ROOT / "runbooks").glob("Loyalty*.md")):
        headings = [line for line in runbook.read_text().splitlines() if line.startswith("## ")]
        assert headings == parts, named(runbook)


def test_every_word_of_the_ledger_is_in_the_schema() -> None:
    from pipelines.domain.ledger import LedgerAccount, Reason

    schema = (ROOT / "schemas/loyalty.ledger.v1/v1.avsc").read_text()
    for word in [*Reason, *LedgerAccount]:
        assert f'"{word.value}"' in schema, word
