"""A cluster with TLS, users and an authorizer: each part does its job with exactly its ACLs, and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic

from pipelines.connection import PREFIX
from pipelines.failure import Failure
from pipelines.grants import ROLES, WAREHOUSE_GROUP, Grant, grants, user
from pipelines.local import stack
from pipelines.local.endpoints import KAFKA_VARIABLE, REGISTRY_VARIABLE, Endpoints
from pipelines.local.secured import ADMIN, Vault
from pipelines.runtime import acl_admin
from pipelines.runtime.topic_admin import connect
from pipelines.topics import PIPELINES
from schemas import catalogue
from schemas.registry import connect as connect_registry
from tests.broker.histories import END, history
from tests.cli.test_main import loyalty
from tests.support.consumers import Running, balance, send, service, trigger
from tests.support.pipeline import Pipeline, wait_until
from tests.support.secured import (
    being,
    refusal_of_beginning,
    refusal_of_joining,
    refusal_of_reading,
    refusal_of_writing,
    settings_of,
)
from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.broker
WORKERS = sorted(PIPELINES)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secure")


@pytest.fixture(scope="module")
def secure(home: Path) -> Iterator[Endpoints]:
    """A stack of its own, whose ways in are closed; the tests here are its admin unless they say otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in (KAFKA_VARIABLE, REGISTRY_VARIABLE):
            patch.delenv(variable, raising=False)
        found = stack.up(home, secure=True)
        with being(home, ADMIN):
            connect_registry(found.schema_registry_url, register=True)
            yield found
        stack.down(home, wipe=True)


@pytest.fixture
def apart(secure: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A pipeline with users of its own, who may what their roles may."""
    monkeypatch.setenv(KAFKA_VARIABLE, secure.bootstrap_servers)
    monkeypatch.setenv(REGISTRY_VARIABLE, secure.schema_registry_url)
    with Pipeline(secure, connect_registry(secure.schema_registry_url), "", tmp_path) as made:
        allow(secure)
        yield made


def allow(secure: Endpoints) -> None:
    admin = connect(secure.bootstrap_servers)
    acl_admin.apply(admin, acl_admin.make_plan(admin), remove=True)


def take_away(secure: Endpoints, grant: Grant) -> None:
    admin = connect(secure.bootstrap_servers)
    (acl,) = (acl_admin._binding(given) for given in grants_of_all() if given == grant)
    plan = acl_admin.AclPlan((), (acl,))
    acl_admin.apply(admin, plan, remove=True)


def grants_of_all() -> list[Grant]:
    return [grant for role in ROLES for grant in grants(role)]


def log_of(pipeline: Pipeline, replica: str = "w0") -> str:
    return (pipeline.tmp_path / f"{replica}.log").read_text()


@pytest.fixture
def fed(apart: Pipeline) -> Pipeline:
    """Facts are there, and (once a cluster) the accounts have answered."""
    apart.send([*history(members=2, orders=2), END])
    return apart


def works_as(home: Path, pipeline: Pipeline, role: str) -> int:
    """Start that worker as its user, until it has caught up and was told to stop; its exit code."""
    with being(home, user(role)):
        worker = pipeline.start(f"{role}-{token_hex(2)}", role)
    wait_until(lambda: pipeline.lag(role) == 0 or worker.poll() is not None, f"{role} has caught up")
    worker.terminate()
    return worker.wait(180)


def test_each_worker_does_its_job_as_its_own_user_and_the_auditor_finds_it_right(
    home: Path, fed: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    assert works_as(home, fed, "accounts") == 0
    assert works_as(home, fed, "triggers") == 0
    assert works_as(home, fed, "liability") == 0

    assert len(fed.read(catalogue.LEDGER)) > 10
    assert len(fed.read(catalogue.TRIGGERS)) + len(fed.read(catalogue.SUPPRESSED_TRIGGERS)) > 0
    assert len(fed.read(catalogue.LIABILITY)) > 0
    with being(home, user("auditor")):
        assert loyalty("verify") == 0
    with being(home, user("warehouse")):
        assert Warehouse(fed).sink().rows > 10
    with being(home, user("operator")):
        assert loyalty("dead-letters", "redrive", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["dry_run"] is False


@pytest.mark.parametrize("role", WORKERS)
def test_no_worker_may_write_or_read_anything_else(home: Path, apart: Pipeline, role: str) -> None:
    pipeline, address = PIPELINES[role], apart.cluster.bootstrap_servers
    others = [p.changelog("") for p in PIPELINES.values() if p is not pipeline]

    with being(home, user(role)):
        for topic in {*catalogue.TOPICS, *others} - set(pipeline.writes):
            assert refusal_of_writing(address, topic) == "TOPIC_AUTHORIZATION_FAILED", topic
        for topic in {*catalogue.TOPICS, *others} - set(pipeline.reads):
            found = refusal_of_reading(address, topic, pipeline.group)
            assert found == "TOPIC_AUTHORIZATION_FAILED", topic
        assert refusal_of_reading(address, pipeline.reads[0], pipeline.group) == ""


@pytest.mark.parametrize("role", WORKERS)
def test_no_worker_may_be_another_or_change_the_cluster(home: Path, apart: Pipeline, role: str) -> None:
    pipeline, address = PIPELINES[role], apart.cluster.bootstrap_servers
    other = next(p for p in PIPELINES.values() if p is not pipeline)

    with being(home, user(role)):
        topic = pipeline.reads[0]
        assert refusal_of_joining(address, topic, other.group) == "GROUP_AUTHORIZATION_FAILED"
        assert refusal_of_joining(address, topic, "anybody") == "GROUP_AUTHORIZATION_FAILED"
        denied = "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
        assert refusal_of_beginning(address, f"{other.group}-w0") == denied
        assert refusal_of_beginning(address, "loyalty-redrive") == denied
        assert refusal_of_beginning(address, f"{pipeline.group}-w9") == ""
        admin = connect(address)
        with pytest.raises(KafkaException, match="AUTHORIZATION_FAILED"):
            admin.create_topics([NewTopic("mine", 1)])["mine"].result(30)
        with pytest.raises(KafkaException, match="AUTHORIZATION_FAILED"):
            admin.delete_topics([catalogue.LEDGER])[catalogue.LEDGER].result(30)
        with pytest.raises(Failure, match="may not see"):
            acl_admin.make_plan(admin)
        with pytest.raises(Failure, match="cannot be read or changed"):
            acl_admin.apply(admin, acl_admin.AclPlan(grants("operator"), ()))


def lacking() -> list[Grant]:
    """One of each kind of ACL of each worker."""
    kinds: dict[tuple[str, str, str], Grant] = {}
    for role in WORKERS:
        for grant in grants(role):
            kinds.setdefault((grant.principal, grant.operation, grant.kind), grant)
    return list(kinds.values())


@pytest.mark.parametrize(
    "grant", lacking(), ids=lambda grant: f"{grant.principal[13:]}-{grant.operation}-{grant.kind}"
)
def test_a_worker_that_lacks_one_acl_names_it_and_says_what_to_do(
    home: Path, fed: Pipeline, secure: Endpoints, grant: Grant
) -> None:
    role = grant.principal.removeprefix("User:loyalty-")
    take_away(secure, grant)

    with being(home, user(role)):
        worker = fed.start("w0", role)
    assert worker.wait(90) != 0

    log = log_of(fed)
    assert str(grant) in log, log[-2000:]
    assert "loyalty acls plan" in log
    assert "Traceback" not in log
    allow(secure)


def test_an_acl_taken_away_while_it_works_stops_the_worker_by_name(
    home: Path, fed: Pipeline, secure: Endpoints
) -> None:
    with being(home, user("accounts")):
        worker = fed.start("w0")
    wait_until(lambda: fed.lag() == 0 or worker.poll() is not None, "it works")
    assert worker.poll() is None, log_of(fed)
    ledger = next(g for g in grants("accounts") if g.name == catalogue.LEDGER)
    take_away(secure, ledger)

    again = [fact._replace(member_id=f"m-{token_hex(4)}") for fact in history(members=1, orders=1)[:1]]
    fed.send(again)

    assert worker.wait(90) != 0
    assert f"{ledger.operation} on topic {catalogue.LEDGER}" in log_of(fed), log_of(fed)[-2000:]
    allow(secure)
    assert works_as(home, fed, "accounts") == 0
    entries = [e["member_id"] for e in fed.read(catalogue.LEDGER)]
    assert entries.count(again[0].member_id) == 1


def test_acls_are_planned_and_applied_once_and_what_is_too_much_goes_when_asked(
    secure: Endpoints, apart: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = connect(secure.bootstrap_servers)
    assert loyalty("acls", "plan") == 0
    assert "as the catalogue says" in capsys.readouterr().out
    one = grants("triggers")[0]
    take_away(secure, one)
    acl_admin.apply(
        admin, acl_admin.AclPlan((one._replace(operation="ALTER", name="somewhere"),), ()), remove=False
    )

    assert loyalty("acls", "plan", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert [grant["name"] for grant in told["add"]] == [one.name]
    assert told["too_much"] == [f"ALLOW {one.principal} ALTER on topic somewhere"]
    assert loyalty("acls", "apply", "--role", "accounts") == 0
    assert loyalty("acls", "apply") == 0
    assert loyalty("acls", "plan") == 1
    assert loyalty("acls", "apply", "--remove") == 0
    assert loyalty("acls", "plan") == 0
    assert loyalty("acls", "plan", "--role", "nobody") == 1


def test_no_password_stands_on_a_command_line_or_in_a_log(home: Path, fed: Pipeline) -> None:
    vault = Vault(home)
    names = [file.stem for file in vault.folder.glob("*.password")]
    secrets = {name: vault.password(name) for name in names}
    assert len(secrets) == 2 + len(ROLES)
    with being(home, user("accounts")):
        os.environ["LOYALTY_SECURITY_PASSWORD"] = secrets[user("accounts")]
        del os.environ["LOYALTY_SECURITY_PASSWORD_FILE"]
        try:
            worker = fed.start("w0")
        finally:
            del os.environ["LOYALTY_SECURITY_PASSWORD"]
    wait_until(lambda: fed.lag() == 0 or worker.poll() is not None, "it works")

    command_lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    worker.terminate()
    assert worker.wait(180) == 0
    logs = [log_of(fed).encode(), *(log.read_bytes() for log in (home / "logs").glob("*.log"))]
    for name, secret in secrets.items():
        assert not any(secret.encode() in line for line in command_lines), name
        assert not any(secret.encode() in log for log in logs), name
    assert not (vault.folder / "format.arguments").exists()
    assert {file.stat().st_mode & 0o077 for file in vault.folder.iterdir()} == {0}


@pytest.mark.parametrize("language", ["python", "java", "typescript"])
def test_a_teams_consumer_comes_in_as_its_user(apart: Pipeline, home: Path, language: str) -> None:
    who = settings_of(Vault(home), user("warehouse"))
    if language == "typescript":
        send(apart, balance("m-1", 1))
    else:
        send(apart, trigger("first"))

    with service() as to:
        running = Running(
            apart,
            language,
            to,
            GROUP_ID=WAREHOUSE_GROUP,
            KAFKA_USERNAME=who[f"{PREFIX}USERNAME"],
            KAFKA_PASSWORD=Path(who[f"{PREFIX}PASSWORD_FILE"]).read_text().strip(),
            KAFKA_CA_FILE=who[f"{PREFIX}CA_FILE"],
            SCHEMA_REGISTRY_CA_FILE=who[f"{PREFIX}REGISTRY_CA_FILE"],
            NODE_EXTRA_CA_CERTS=who[f"{PREFIX}REGISTRY_CA_FILE"],
        )
        running.wait_until_taken(to, 1)
        assert running.leave() == 0


def test_a_wrong_password_and_a_stranger_are_told_apart(
    home: Path, secure: Endpoints, tmp_path: Path
) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("guess")
    with being(home, user("accounts")), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOYALTY_SECURITY_PASSWORD_FILE", str(wrong))
        with pytest.raises(Failure, match="User:loyalty-accounts do not come together: .*credentials"):
            connect(secure.bootstrap_servers)
    stranger = Vault(tmp_path)
    stranger.fill()
    with being(home, user("accounts")), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOYALTY_SECURITY_CA_FILE", str(stranger.ca))
        with pytest.raises(Failure, match="certificate verify failed"):
            connect(secure.bootstrap_servers)


def test_the_secure_stack_says_who_one_has_to_be(
    home: Path, secure: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.local.endpoints import endpoints

    for variable in list(os.environ):
        if variable.startswith("LOYALTY_SECURITY_"):
            monkeypatch.delenv(variable)
    with pytest.raises(Failure, match="is secure, and who you are is not said") as failure:
        endpoints(home)
    assert "admin.env" in failure.value.do
    assert stack.status(home).answers
