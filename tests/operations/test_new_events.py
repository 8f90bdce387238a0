"""The pages for teams: what docs/NEW-EVENTS.md tells them to run does what it says, in a copy of the schemas."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from schemas import catalogue, compatibility
from tests.cli.test_main import loyalty

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/NEW-EVENTS.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ORDERS = "commerce.orders.v1"
NOTE = {
    "name": "gift_note",
    "type": ["null", "string"],
    "doc": "What stands on the card.",
    "personal": "raw",
    "default": None,
}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The schemas, as a team has them in its own clone; the page's first block has been run in it."""
    shutil.copytree(catalogue.FOLDER, tmp_path / "schemas")
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path / "schemas")
    monkeypatch.setattr(compatibility, "FINGERPRINTS", tmp_path / "schemas/fingerprints.json")
    copies, _ = BLOCKS
    subprocess.run(["bash", "-e", "-c", copies], cwd=tmp_path, check=True)
    return tmp_path / "schemas" / ORDERS


def edit(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def add(folder: Path, field: dict[str, Any]) -> None:
    schema = json.loads((folder / "v2.avsc").read_text())
    edit(folder / "v2.avsc", fields=[*schema["fields"], field])
    edit(folder / "v2.example.json", **{field["name"]: "Get well soon"})


def commands() -> list[list[str]]:
    """The `loyalty` commands of the page's second block, in its order, without what is said of them."""
    _, told = BLOCKS
    lines = [re.split(r"\s{3,}", line)[0].split() for line in told.splitlines()]
    return [words[1:] for words in lines if words[0] == "loyalty"]


def test_the_pages_commands_make_a_version_with_one_field_more(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(copy, NOTE)

    codes = [
        loyalty(*(str(tmp_path / "site") if word == "DIR" else word for word in words))
        for words in commands()
    ]

    assert codes == [1, 0, 0, 0, 0]
    said = capsys.readouterr()
    assert f"{ORDERS}/v2 is not in fingerprints.json" in " ".join(said.err.split())
    assert f"released: {ORDERS}/v2" in said.out
    assert "topics, 0 problems" in said.out
    assert "gift_note" in said.out
    page = (tmp_path / f"site/{ORDERS}.html").read_text()
    assert "<code>gift_note</code> is new: What stands on the card." in page
    assert "Get well soon" in page


def test_a_field_without_a_default_is_refused_by_the_check(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(copy, {key: value for key, value in NOTE.items() if key != "default"})

    assert loyalty("schemas", "check") == 1
    assert "gift_note: is not written, and has no default" in " ".join(capsys.readouterr().err.split())


def test_an_edited_release_is_refused_by_the_check(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(copy / "v1.avsc", doc="Something else.")

    assert loyalty("schemas", "check") == 1
    assert f"{ORDERS}/v1 was edited after its release" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", ["docs/NEW-EVENTS.md", "docs/consumers/README.md"])
def test_a_page_leads_to_what_is_there(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)#]+)", page.read_text())

    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_consumers_page_names_every_setting_that_they_read_and_no_other() -> None:
    folder = ROOT / "docs/consumers"
    sources = [
        p for kind in ("python/*.py", "java/src/**/*.java", "typescript/src/*.ts") for p in folder.glob(kind)
    ]
    read = set(re.findall(r"\"([A-Z]{2,}(?:_[A-Z]+)+)\"", "".join(path.read_text() for path in sources)))
    told = re.findall(r"^\| (`[A-Z].*?) \|", (folder / "README.md").read_text(), re.MULTILINE)
    named = {name for row in told for name in re.findall(r"`([A-Z_]+)`", row)}

    assert {path.suffix for path in sources} == {".py", ".java", ".ts"}
    assert named - {"NODE_EXTRA_CA_CERTS"} == read - {"SASL_SSL"}
