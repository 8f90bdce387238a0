"""An S3 server and an Iceberg REST catalogue of the tests' own, on 127.0.0.1: versitygw over a folder, and Apache
Iceberg's own REST adapter over its SQL catalogue."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.peers.built import built
from tests.support.scrape import free_port

SOURCE: Final = Path(__file__).parent / "rest_catalogue"
BUCKET: Final = "lake"
PATIENCE_S: Final = 60.0
GATEWAY: Final = "versitygw is missing: run `make tools`, which makes it with Go"
BUILD: Final = [
    "mvn",
    "-q",
    "-B",
    "compile",
    "dependency:copy-dependencies",
    "-DincludeScope=runtime",
    "-DoutputDirectory=target/jars",
]


@dataclass(frozen=True, slots=True)
class Storage:
    """Where an S3 server is, and as whom it is asked."""

    endpoint: str
    access_key_id: str = "loyalty"
    secret_access_key: str = "of-the-tests-alone"

    def settings(self) -> dict[str, str]:
        """Settings of a warehouse that keeps its tables there."""
        return {
            "s3_endpoint": self.endpoint,
            "s3_region": "us-east-1",
            "s3_access_key_id": self.access_key_id,
            "s3_secret_access_key": self.secret_access_key,
        }


@contextmanager
def storage() -> Iterator[Storage]:
    """An S3 server with one bucket; it never skips: without its program the tests fail, and say what to do."""
    gateway = shutil.which("versitygw") or shutil.which("versitygw", path=str(Path.home() / "go/bin"))
    assert gateway, GATEWAY
    port = free_port()
    made = Storage(f"http://127.0.0.1:{port}")
    with TemporaryDirectory(prefix="loyalty-s3-") as folder:
        kept, beside = Path(folder) / "kept", Path(folder) / "beside"
        (kept / BUCKET).mkdir(parents=True)
        beside.mkdir()
        command = [gateway, "--port", f"127.0.0.1:{port}", "posix", "--sidecar", str(beside), str(kept)]
        keys = {"ROOT_ACCESS_KEY": made.access_key_id, "ROOT_SECRET_KEY": made.secret_access_key}
        with _running(command, port, Path(folder) / "log", keys):
            yield made


@contextmanager
def rest_catalogue(at: Storage) -> Iterator[str]:
    """The address of a REST catalogue whose tables lie in the bucket."""
    port = free_port()
    with TemporaryDirectory(prefix="loyalty-rest-") as folder:
        properties = {
            "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
            "uri": f"jdbc:sqlite:{folder}/catalogue.db",
            "jdbc.schema-version": "V1",
            "warehouse": f"s3://{BUCKET}/rest",
            "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            "client.region": "us-east-1",
            "s3.endpoint": at.endpoint,
            "s3.path-style-access": "true",
            "s3.access-key-id": at.access_key_id,
            "s3.secret-access-key": at.secret_access_key,
        }
        place = built("rest-catalogue", SOURCE, [BUILD]) / "target"
        command = [
            "java",
            "-Xmx256m",
            "-cp",
            f"{place}/classes:{place}/jars/*",
            "loyalty.RestCatalogue",
            str(port),
        ]
        command += [f"{name}={value}" for name, value in properties.items()]
        with _running(command, port, Path(folder) / "log", {}):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def _running(command: list[str], port: int, log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _listens(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
