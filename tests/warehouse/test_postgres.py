"""PostgreSQL as a second sink, on a real one: a row a member, each row once, and offsets that move with the rows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pyiceberg.exceptions import NoSuchTableError

from pipelines.audit.reading import RegistrySchemas, Topics
from pipelines.failure import Failure
from pipelines.warehouse import sink as sinks
from pipelines.warehouse.columns import Shape
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.postgres import Postgres
from pipelines.warehouse.settings import warehouse_settings
from pipelines.warehouse.tables import BY_NAME
from pipelines.warehouse.target import Away, Batch, Fenced
from pipelines.warehouse.verification import Verdict, verify_postgres
from schemas import catalogue
from tests.broker.histories import END, history, shares
from tests.cli.test_main import loyalty
from tests.support.facts import ms
from tests.support.pipeline import Pipeline, wait_until
from tests.support.postgres import Server, postgres
from tests.support.warehouse import Warehouse, kill
from tests.warehouse.test_lake import balance, change, shape

pytestmark = pytest.mark.broker
TIERS, BALANCES = BY_NAME["tiers"], BY_NAME["balances"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as started:
        yield started


@pytest.fixture
def warehouse(pipeline: Pipeline, server: Server, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    monkeypatch.setattr(sinks, "PAUSE_S", 0.05)
    return Warehouse(pipeline, postgres=server.url, namespace=pipeline.prefix.replace("-", "_").strip("_"))


def ask(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    assert warehouse.settings.postgres is not None
    with psycopg.connect(warehouse.settings.postgres.get_secret_value()) as database:
        database.execute(f"SET search_path = {warehouse.settings.namespace}")  # type: ignore[arg-type]
        return database.execute(query).fetchall()  # type: ignore[arg-type]


def check(warehouse: Warehouse) -> None:
    """Everything that is on the topics, once, with the right sums."""
    pipeline = warehouse.pipeline
    entries = pipeline.read(catalogue.LEDGER)
    counted = ask(warehouse, "SELECT count(*), count(DISTINCT entry_id), sum(points) FROM ledger")
    assert counted == [(len(entries), len(entries), sum(e["points"] for e in entries))]
    told = {b["member_id"]: (b["active"], b["sequence"]) for b in pipeline.read(catalogue.BALANCES)}
    rows = ask(warehouse, "SELECT member_id, active, sequence FROM balances")
    assert {member: (active, sequence) for member, active, sequence in rows} == told
    assert len(rows) == len(told)
    assert ask(warehouse, "SELECT count(*) FROM tiers") == [(len(pipeline.read(catalogue.TIERS)),)]
    assert compared(warehouse).clean


def compared(warehouse: Warehouse) -> Verdict:
    cluster = warehouse.pipeline.cluster
    return verify_postgres(
        Postgres(warehouse.settings),
        Topics(cluster.bootstrap_servers),
        RegistrySchemas(cluster.schema_registry_url),
        warehouse.pipeline.prefix,
    )


def test_a_row_a_member_and_every_entry_once(pipeline: Pipeline, warehouse: Warehouse) -> None:
    pipeline.send([*history(members=4, orders=3), END])
    pipeline.run()

    warehouse.sink(Postgres)

    check(warehouse)
    assert ask(warehouse, "SELECT derivation->>'formula' FROM ledger WHERE reason = 'WELCOME' LIMIT 1") == [
        ("welcome",)
    ]
    assert warehouse.sink(Postgres).rows == 0


def test_whatever_is_not_as_the_topics_say_is_found(pipeline: Pipeline, warehouse: Warehouse) -> None:
    pipeline.send([*history(members=3, orders=2), END])
    pipeline.run()
    with pytest.raises(Failure, match="PostgreSQL has no table ledger"):
        compared(warehouse)
    warehouse.sink(Postgres)
    before = compared(warehouse)
    assert (before.clean, sum(one.records for one in before.ranges) > 0) == (True, True)
    assert all(one.looked_at for one in before.checks)

    change_tables(
        warehouse,
        "DELETE FROM tiers WHERE change_id = (SELECT min(change_id) FROM tiers)",
        "UPDATE ledger SET points = points + 1 WHERE entry_id = (SELECT min(entry_id) FROM ledger)",
        "UPDATE balances SET source_offset = 0 WHERE member_id = 'm-1'",
        "DELETE FROM tier_progress WHERE member_id = 'm-2'",
    )

    found = compared(warehouse)
    assert {one.table: (one.missing, one.extra) for one in found.ranges if one.missing or one.extra} == {
        "tiers": (1, 0)
    }
    wrong = {one.check: one.wrong for one in found.checks if one.wrong}
    assert wrong == {"sums-by-account-and-day": 2, "current-rows": 2}
    assert found.differences == 5


def change_tables(warehouse: Warehouse, *statements: str) -> None:
    assert warehouse.settings.postgres is not None
    with psycopg.connect(warehouse.settings.postgres.get_secret_value()) as database:
        database.execute(f"SET search_path = {warehouse.settings.namespace}")  # type: ignore[arg-type]
        for statement in statements:
            assert database.execute(statement).rowcount == 1, statement  # type: ignore[arg-type]


def test_the_command_says_what_is_wrong_of_postgresql(
    pipeline: Pipeline,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert warehouse.settings.postgres is not None
    for name, value in {
        "LOYALTY_WAREHOUSE_POSTGRES": warehouse.settings.postgres.get_secret_value(),
        "LOYALTY_WAREHOUSE_NAMESPACE": warehouse.settings.namespace,
        "KAFKA_BOOTSTRAP_SERVERS": pipeline.cluster.bootstrap_servers,
        "SCHEMA_REGISTRY_URL": pipeline.cluster.schema_registry_url,
    }.items():
        monkeypatch.setenv(name, value)
    pipeline.send([*history(members=2, orders=1), END])
    pipeline.run()
    warehouse.sink(Postgres)
    asked = ("warehouse", "verify", "--sink", "postgres", "--topic-prefix", pipeline.prefix)

    assert loyalty(*asked) == 0
    assert "The warehouse is what the topics say." in capfd.readouterr().out
    change_tables(warehouse, "DELETE FROM balances WHERE member_id = 'm-1'")
    assert loyalty(*asked) == 1
    assert "current-rows: balances of m-1 is record none" in " ".join(capfd.readouterr().out.split())
    assert loyalty(*asked, "--record") == 1
    assert "leave --record away" in capfd.readouterr().err


def test_a_tombstone_removes_the_members_row(pipeline: Pipeline, warehouse: Warehouse) -> None:
    pipeline.send([*history(members=2, orders=1), END])
    pipeline.run()
    warehouse.sink(Postgres)
    pipeline.send_bytes(catalogue.BALANCES, b"m-1", None, ms("2026-07-01T00:00:00Z"))

    warehouse.sink(Postgres)

    assert ask(warehouse, "SELECT member_id FROM balances") == [("m-0",)]


@pytest.mark.kills
def test_kill_9_and_a_database_that_is_cut_off_lose_and_double_nothing(
    pipeline: Pipeline, warehouse: Warehouse, server: Server, pytestconfig: pytest.Config
) -> None:
    chance, kills = random.Random(11), pytestconfig.getoption("--kills")
    worker = pipeline.start()
    for nth, share in enumerate(shares(history(members=8 + kills, orders=3), kills)):
        sink = warehouse.start("postgres", postgres=server.url, namespace=warehouse.settings.namespace)
        before = _written(warehouse)
        pipeline.send(share)
        wait_until(lambda before=before: _written(warehouse) > before, "the sink commits")  # type: ignore[misc]
        if nth == 1:
            server.stop()
            server.start()
            before = _written(warehouse)
            pipeline.send([fact._replace(member_id="m-late") for fact in history(1, 0)])
            wait_until(lambda before=before: _written(warehouse) > before, "it goes on by itself")  # type: ignore[misc]
            assert sink.poll() is None
        time.sleep(chance.random() * 0.3)
        kill(sink)
    pipeline.send([END])
    pipeline.wait_until_caught_up()
    worker.terminate()
    worker.wait()
    warehouse.sink(Postgres)

    check(warehouse)


def _written(warehouse: Warehouse) -> int:
    try:
        return int(ask(warehouse, "SELECT coalesce(sum(next_offset), 0) FROM sink_offsets")[0][0])
    except psycopg.Error:
        return 0


@pytest.fixture
def alone(server: Server, tmp_path: Any) -> Iterator[Postgres]:
    """Tables of a test's own, without a topic."""
    made = Postgres(warehouse_settings(tmp_path, postgres=server.url, namespace=f"t{time.monotonic_ns()}"))
    for table in (TIERS, BALANCES):
        made.fit(shape(table))
    yield made
    made.close()


def test_the_same_again_changes_nothing_and_is_refused(alone: Postgres) -> None:
    rows = shape(TIERS).rows([change(0), change(1)])
    alone.write(TIERS, Batch(rows, {}, {0: 2}))

    with pytest.raises(Fenced):
        alone.write(TIERS, Batch(rows, {}, {0: 2}))

    alone.write(TIERS, Batch(rows, {0: 2}, {0: 3}))  # rows that are there, under offsets that are not
    assert alone.offsets(TIERS) == {0: 3}


def test_an_older_row_never_replaces_a_newer_one(alone: Postgres) -> None:
    alone.write(BALANCES, Batch(shape(BALANCES).rows([balance("m-1", 20, 5)]), {}, {0: 6}))

    alone.write(BALANCES, Batch(shape(BALANCES).rows([balance("m-1", 10, 2)]), {0: 6}, {0: 7}))

    assert alone.asked("SELECT active FROM {}.balances") == [(20,)]


def test_two_sinks_at_once_take_turns_and_the_second_is_refused(alone: Postgres, tmp_path: Any) -> None:
    refused: list[Exception] = []

    def write() -> None:
        try:
            other = Postgres(alone.settings)
            other.write(TIERS, Batch(shape(TIERS).rows([change(n) for n in range(200)]), {}, {0: 200}))
            other.close()
        except Failure as failure:
            refused.append(failure)

    both = [threading.Thread(target=write) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert [type(failure) for failure in refused] == [Fenced]
    assert alone.asked("SELECT count(*) FROM {}.tiers") == [(200,)]


def test_columns_follow_the_registry(alone: Postgres) -> None:
    text = catalogue.released(TIERS.topic).rstrip().removesuffix("}").rstrip().removesuffix("]")
    wider = Shape(
        TIERS, text + ', {"name": "till", "type": ["null", "string"], "default": null, "doc": "Which."}]}'
    )

    alone.fit(wider)
    alone.write(TIERS, Batch(wider.rows([change(0) | {"till": "T-7"}]), {}, {0: 1}))

    assert alone.asked("SELECT till FROM {}.tiers") == [("T-7",)]


def test_without_an_address_or_an_answer_it_says_what_to_set(tmp_path: Any) -> None:
    with pytest.raises(Failure, match="nothing says where PostgreSQL is"):
        Postgres(warehouse_settings(tmp_path))
    with pytest.raises(Failure, match="does not answer"):
        Postgres(warehouse_settings(tmp_path, postgres="postgresql://loyalty@127.0.0.1:9/nothing"))


def test_the_icebergs_catalogue_can_be_in_postgresql(server: Server, tmp_path: Any) -> None:
    address = server.url.replace("postgresql://", "postgresql+psycopg://")
    lake = Lake(warehouse_settings(tmp_path, catalogue=address, namespace=f"t{time.monotonic_ns()}"))
    lake.fit(shape(TIERS))
    lake.write(TIERS, Batch(shape(TIERS).rows([change(0)]), {}, {0: 1}))

    with pytest.raises(Fenced):
        lake.write(TIERS, Batch(shape(TIERS).rows([change(0)]), {}, {0: 1}))

    assert lake.table("tiers").scan().to_arrow()["change_id"].to_pylist() == ["c-0"]


def test_a_catalogue_that_does_not_answer_is_away_whatever_is_asked_of_it(
    server: Server, tmp_path: Any
) -> None:
    address = server.url.replace("postgresql://", "postgresql+psycopg://")
    lake = Lake(warehouse_settings(tmp_path, catalogue=address, namespace=f"t{time.monotonic_ns()}"))
    lake.fit(shape(TIERS))

    server.stop()
    try:
        with pytest.raises(Away):
            lake.write(TIERS, Batch(shape(TIERS).rows([change(0)]), {}, {0: 1}))
        with pytest.raises(Away):
            lake.offsets(TIERS)
        with pytest.raises(Away):
            lake.fit(shape(BALANCES))
    finally:
        server.start()

    assert lake.offsets(TIERS) == {}


def test_a_sink_goes_on_by_itself_when_the_database_of_its_catalogue_is_back(
    pipeline: Pipeline, server: Server
) -> None:
    address = server.url.replace("postgresql://", "postgresql+psycopg://")
    namespace = f"t{time.monotonic_ns()}"
    made = Warehouse(pipeline, catalogue=address, namespace=namespace)
    sink = made.start(catalogue=address, namespace=namespace)
    pipeline.send(history(members=2, orders=1))
    pipeline.run()
    wait_until(lambda: _rows(made) > 0, "the sink commits")

    server.stop()
    pipeline.send([fact._replace(member_id="m-late") for fact in history(1, 0)])
    log = pipeline.tmp_path / "warehouse.log"
    wait_until(lambda: log.read_text().count("is away, waiting") > 2, "it waits")
    server.start()

    wait_until(lambda: "m-late" in {row["member_id"] for row in made.rows("members")}, "it goes on")
    assert sink.poll() is None


def _rows(made: Warehouse) -> int:
    try:
        return len(made.rows("members"))
    except NoSuchTableError:
        return 0
