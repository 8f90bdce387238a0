"""What is installed is whole: the wheel brings the files that the code reads, and no test."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipelines.operations.site.pages import CHANGELOG, DOCUMENTS

ROOT = Path(__file__).parent.parent
READ = {".avsc", ".bin", ".css", ".html", ".js", ".sql", ".yaml"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    made = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(made)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(made.glob("loyalty_streams-*.whl")))


def test_the_wheel_brings_every_file_that_the_code_reads(wheel: zipfile.ZipFile) -> None:
    needed = {
        str(path.relative_to(ROOT))
        for package in ("pipelines", "schemas", "state")
        for path in (ROOT / package).rglob("*")
        if path.suffix in READ
    }

    assert needed
    assert needed <= set(wheel.namelist())


def test_the_wheel_brings_what_names_the_parts_of_the_stack(wheel: zipfile.ZipFile) -> None:
    for name, source in (
        ("pom.xml", "deploy/local/pom.xml"),
        ("artifacts.sha256", "deploy/local/artifacts.sha256"),
        ("docker-compose.yml", "docker-compose.yml"),
    ):
        assert wheel.read(f"pipelines/local/artefacts/{name}") == (ROOT / source).read_bytes()


def test_the_wheel_brings_the_texts_of_the_event_catalogue(wheel: zipfile.ZipFile) -> None:
    for name in (CHANGELOG, *DOCUMENTS):
        assert wheel.read(f"pipelines/operations/site/texts/{name}") == (ROOT / name).read_bytes()


def test_the_wheel_owns_three_packages_and_no_more(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}

    assert tops == {"pipelines", "schemas", "state"}
