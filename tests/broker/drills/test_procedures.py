"""Procedures, each carried out by its own commands: what is done on purpose, or when more than a worker is at fault."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pipelines.audit.digest import ledger_digest
from pipelines.audit.reading import Topics
from pipelines.grants import user
from pipelines.local import stack
from pipelines.local.endpoints import Endpoints
from pipelines.local.secured import ADMIN, Vault, write_private
from pipelines.runtime import acl_admin
from pipelines.runtime.topic_admin import connect
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.codec import topic_of
from tests.broker.histories import START_MS, history
from tests.support.drill import (
    REFERENCE,
    Operator,
    end,
    forget_all_but_inputs,
    forget_group,
    reference_with,
    schemas_of,
    scraped,
    stack_of_its_own,
)
from tests.support.facts import DAY_MS, line, order
from tests.support.pipeline import Pipeline
from tests.support.scrape import free_port
from tests.support.secured import being
from tests.support.warehouse import Warehouse

pytestmark = [pytest.mark.broker, pytest.mark.drill, pytest.mark.timeout(1_200)]


@pytest.fixture
def operator(pipeline: Pipeline) -> Iterator[Operator]:
    with Operator(pipeline) as made:
        yield made


FACTS = history(members=4, orders=3)


def test_state_that_is_lost_is_restored_as_the_procedure_says(pipeline: Pipeline, operator: Operator) -> None:
    port = free_port()
    worker = pipeline.start("worker-0")
    pipeline.send(FACTS[: len(FACTS) // 2])
    pipeline.wait_until_caught_up()
    end(worker)
    shutil.rmtree(pipeline.tmp_path / "state/accounts/worker-0")

    operator.carry_out("Restore state", corrected={"9464": str(port)}, until=lambda: scraped(port))

    pipeline.send(FACTS[len(FACTS) // 2 :])
    pipeline.wait_until_caught_up()
    operator.follow("LoyaltyWorkerDown", "Afterwards")


def test_all_workers_are_gone_and_the_topics_bring_them_back(pipeline: Pipeline, operator: Operator) -> None:
    pipeline.send(FACTS)
    pipeline.run(replica="worker-7")
    shutil.rmtree(pipeline.tmp_path / "state")

    operator.follow("procedures", "Disaster recovery from topics alone", block=0)

    pipeline.send(history(members=4, orders=4))
    pipeline.wait_until_caught_up()
    operator.follow("LoyaltyWorkerDown", "Afterwards")


def test_only_the_inputs_are_left_and_the_same_ledger_comes_out(
    pipeline: Pipeline, operator: Operator
) -> None:
    pipeline.send(FACTS)
    pipeline.run()
    before = pipeline.digest()
    forget_group(pipeline)
    forget_all_but_inputs(pipeline)

    operator.carry_out("Disaster recovery from topics alone", block=1)

    assert pipeline.digest() == before
    assert before[0] > 0


@pytest.mark.parametrize(("heading", "prefix"), [("Replay", "replay-"), ("More partitions", "wide-")])
def test_a_pipeline_beside_tells_the_same_ledger(
    pipeline: Pipeline, operator: Operator, heading: str, prefix: str
) -> None:
    pipeline.send(FACTS)
    pipeline.run()

    beside = f"{pipeline.prefix}{prefix}"
    operator.follow("procedures", heading, block=0, corrected={prefix: beside})
    for fact in FACTS:
        where, value = prefixed(beside, topic_of(fact)), pipeline.codec.encode(fact)
        pipeline.sender.send(
            where, value, key=fact.member_id.encode(), timestamp=fact.recorded_at_ms, headers=[]
        )
    pipeline.sender.flush()

    operator.carry_out(heading, block=1, corrected={prefix: beside})

    assert ledger(pipeline, beside) == pipeline.digest()
    assert pipeline.digest()[0] > 0


def ledger(pipeline: Pipeline, prefix: str) -> tuple[int, str]:
    topics = Topics(pipeline.cluster.bootstrap_servers)
    return ledger_digest(topics, prefixed(prefix, catalogue.LEDGER))


KNOWN: Final = "      SEK: {points: 1, per_minor: 1000}\n      JPY:"
CROWNS: Final = order("K1", START_MS + 10 * DAY_MS, line("A", 750_00), currency="SEK", member_id="m-0")


def test_a_currency_comes_with_a_new_market_and_what_came_before_is_redriven(
    pipeline: Pipeline, operator: Operator
) -> None:
    worker = pipeline.start("worker-0")
    pipeline.send([*FACTS, CROWNS])
    pipeline.wait_until_caught_up()
    assert [letter["error_class"] for letter in pipeline.read(catalogue.DEAD_LETTERS)] == ["UNKNOWN_CURRENCY"]
    port, programme = free_port(), str(reference_with(pipeline.tmp_path, "      JPY:", KNOWN))

    end(worker)
    corrected = {"reference": programme, "9464": str(port)}
    operator.carry_out("New market", corrected=corrected, until=lambda: scraped(port))
    operator.carry_out("Redrive dead letters", block=0, corrected={"reference": programme})

    pipeline.wait_until_caught_up()
    operator.follow("procedures", "Redrive dead letters", block=1, corrected={"reference": programme})
    assert points_of(pipeline, "K1") == 75


def points_of(pipeline: Pipeline, order_id: str) -> int:
    """The base points that an order was given."""
    told = pipeline.read(catalogue.LEDGER)
    return sum(e["points"] for e in told if e["reason"] == "BASE" and order_id in e["lot_id"])


def in_force(version: str, since: str, points: int) -> str:
    """A version of the reference programme from then on, with so many points for each 1.00."""
    _, _, first = REFERENCE.partition("versions:\n")
    changed = first.replace('"2026-1"', f'"{version}"').replace("2020-01-01T00:00:00Z", since)
    return changed.replace("{points: 1, per_minor: 100}", f"{{points: {points}, per_minor: 100}}")


def test_a_version_is_rolled_back_and_what_it_promised_stays(pipeline: Pipeline, operator: Operator) -> None:
    generous = pipeline.tmp_path / "generous.yaml"
    generous.write_text(REFERENCE + in_force("2026-2", "2026-02-02T00:00:00Z", 2))
    worker = pipeline.start("worker-0", programme=generous)
    pipeline.send(history(members=2, orders=3))
    pipeline.wait_until_caught_up()
    back = pipeline.tmp_path / "back.yaml"
    back.write_text(generous.read_text() + in_force("2026-3", "2026-02-04T00:00:00Z", 1))
    port = free_port()

    end(worker)
    corrected = {"reference": str(back), "9464": str(port)}
    operator.carry_out(
        "Roll back a programme version", block=0, corrected=corrected, until=lambda: scraped(port)
    )

    pipeline.send(history(members=2, orders=5))
    pipeline.wait_until_caught_up()
    operator.follow(
        "procedures", "Roll back a programme version", block=1, corrected={"reference": str(back)}
    )
    assert [points_of(pipeline, f"O0-{nth}") > 200 for nth in range(5)] == [False, True, True, False, False]


def test_a_build_is_rolled_back_worker_by_worker(pipeline: Pipeline, operator: Operator) -> None:
    slow = pipeline.start("worker-0", build=("pipelines.torture.hindered", "SLOW-DISK", "0.2"))
    pipeline.send(FACTS[: len(FACTS) // 2])
    pipeline.wait_until_caught_up()

    end(slow)
    operator.carry_out("Roll back a build")

    pipeline.send(FACTS[len(FACTS) // 2 :])
    pipeline.wait_until_caught_up()
    operator.follow("LoyaltyWorkerDown", "Afterwards")


def test_schemas_are_checked_and_registered(operator: Operator) -> None:
    operator.carry_out("Schema change")


def test_a_member_is_erased_while_the_pipelines_run(pipeline: Pipeline, operator: Operator) -> None:
    pipeline.start("worker-0")
    pipeline.start("worker-0", processor="triggers")
    pipeline.send(FACTS)
    pipeline.wait_until_caught_up()

    operator.carry_out("Erase a member", corrected={"m-000042": "m-1"})

    balances = [record.value for record in pipeline.records(catalogue.BALANCES) if record.key == b"m-1"]
    assert balances[-1] is None


def test_a_table_that_lost_rows_is_made_anew_from_the_topics(pipeline: Pipeline, operator: Operator) -> None:
    warehouse = Warehouse(pipeline)
    operator.environment["LOYALTY_WAREHOUSE_HOME"] = str(warehouse.home)
    pipeline.send(FACTS)
    pipeline.run()
    warehouse.sink()
    warehouse.lake.table("ledger").delete("member_id = 'm-1'")

    operator.follow("procedures", "Warehouse drift", block=0, looking=True)
    operator.carry_out("Warehouse drift", block=1)

    assert len(warehouse.rows("ledger")) == len(pipeline.read(catalogue.LEDGER))


def test_one_broker_of_three_is_lost_and_the_workers_go_on(tmp_path: Path) -> None:
    home = tmp_path / "three"
    with stack_of_its_own(home, brokers=3) as found:
        codec = schemas_of(found)
        with Pipeline(found, codec, "", tmp_path) as pipeline, Operator(pipeline) as operator:
            pipeline.start("worker-0")
            pipeline.send(FACTS[: len(FACTS) // 2])
            pipeline.wait_until_caught_up()

            stack.kill_broker(home, 2)
            pipeline.send(FACTS[len(FACTS) // 2 :])
            pipeline.wait_until_caught_up()
            operator.carry_out("Broker loss")


def test_the_workers_get_another_password_one_after_the_other(tmp_path: Path) -> None:
    home, port = tmp_path / "secure", free_port()
    with stack_of_its_own(home, secure=True) as found, being(home, ADMIN):
        codec = schemas_of(found)
        with Pipeline(found, codec, "", tmp_path) as pipeline, Operator(pipeline) as operator:
            admin = connect(found.bootstrap_servers)
            acl_admin.apply(admin, acl_admin.make_plan(admin), remove=True)
            pipeline.send(FACTS[: len(FACTS) // 2])
            with being(home, user("accounts")):
                worker = pipeline.start("worker-0")
            pipeline.wait_until_caught_up()

            give_another_password(home, found, user("accounts"))
            end(worker)
            with being(home, user("accounts")):
                operator.carry_out(
                    "Rotate credentials",
                    block=0,
                    corrected={"9464": str(port)},
                    until=lambda: scraped(port),
                )

            pipeline.send(FACTS[len(FACTS) // 2 :])
            pipeline.wait_until_caught_up()
            with being(home, user("auditor")):
                operator.follow("procedures", "Rotate credentials", block=1)


def give_another_password(home: Path, found: Endpoints, name: str) -> None:
    """Into the user's file, and to the brokers; the old one does not open any more."""
    vault = Vault(home)
    write_private(vault.folder / f"{name}.password", b"another one altogether")
    vault.set_passwords(found.bootstrap_servers)
