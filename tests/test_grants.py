"""Who may do what: derived from the catalogue, no more than needed, and as the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.connection import PREFIX, Security, security
from pipelines.failure import Failure
from pipelines.grants import READER_GROUP, ROLES, WAREHOUSE_GROUP, WAREHOUSED, Grant, grants, user
from pipelines.topics import PIPELINES
from pipelines.warehouse.tables import ICEBERG, POSTGRES
from schemas import catalogue

PAGE = Path(__file__).parents[1] / "docs/SECURITY.md"
BEGIN, END = "<!-- grants -->\n", "<!-- /grants -->\n"
ALL = [grant for role in ROLES for grant in grants(role)]


def table() -> str:
    """The grants as a table: `--golden-rewrite` writes it into the page."""
    rows = ["| User | What it may do |", "|---|---|"]
    for role in ROLES:
        names: dict[str, list[str]] = {}
        for grant in grants(role):
            every = "*" if grant.pattern == "PREFIXED" else ""
            verb = f"{grant.operation} {grant.kind.lower().replace('_', ' ')}"
            names.setdefault(verb, []).append(f"`{grant.name}{every}`")
        told = "; ".join(f"{verb} {', '.join(some)}" for verb, some in names.items())
        rows.append(f"| `{user(role)}` | {told} |")
    return "\n".join(rows) + "\n"


def test_the_page_has_every_grant(pytestconfig: pytest.Config) -> None:
    text = PAGE.read_text()
    head, rest = text.split(BEGIN)
    found, tail = rest.split(END)
    if pytestconfig.getoption("--golden-rewrite"):
        PAGE.write_text(head + BEGIN + table() + END + tail)
        return

    assert found == table(), "`pytest tests/test_grants.py --golden-rewrite` writes it anew"


def test_nobody_may_change_the_cluster_and_nothing_is_granted_to_all() -> None:
    assert {grant.operation for grant in ALL} == {"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"}
    assert {grant.kind for grant in ALL} == {"TOPIC", "GROUP", "TRANSACTIONAL_ID"}
    assert all(len(grant.name) > 1 for grant in ALL)
    assert {grant.kind for grant in ALL if grant.pattern == "PREFIXED"} == {"TRANSACTIONAL_ID"}


def writers(topic: str) -> set[str]:
    return {g.principal for g in ALL if (g.operation, g.kind, g.name) == ("WRITE", "TOPIC", topic)}


def test_results_have_one_writer_and_facts_their_sources_and_the_operator() -> None:
    for pipeline in PIPELINES.values():
        for topic in {*pipeline.writes, pipeline.changelog("")} - set(catalogue.INPUTS):
            assert writers(topic) == {f"User:{user(pipeline.name)}"}, topic
    for topic in catalogue.FACTS:
        erasures = {"User:loyalty-privacy"} if topic == catalogue.MEMBERS else set()
        assert writers(topic) == {"User:loyalty-sources", "User:loyalty-operator", *erasures}


def test_the_sinks_read_the_topics_of_their_tables_and_write_none() -> None:
    assert set(WAREHOUSED) == {table.topic for table in (*ICEBERG, *POSTGRES)}
    assert {grant.operation for grant in grants("warehouse")} == {"READ", "DESCRIBE"}


def test_a_prefix_keeps_users_and_all_that_they_may_apart() -> None:
    apart = [grant for role in ROLES for grant in grants(role, "staging-")]

    assert len(apart) == len(ALL)
    assert {g.principal for g in apart} & {g.principal for g in ALL} == set()
    assert {g.name for g in apart} & {g.name for g in ALL} == {READER_GROUP, WAREHOUSE_GROUP}


def test_a_grant_is_told_in_words() -> None:
    assert str(Grant("User:u", "WRITE", "TRANSACTIONAL_ID", "loyalty-", "PREFIXED")) == (
        "WRITE on transactional id loyalty-*"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PROTOCOL": "SASL_PLAINTEXT"}, "LOYALTY_SECURITY_PROTOCOL"),
        ({"PROTOCOL": "SASL_SSL"}, "needs USERNAME"),
        ({"USERNAME": "u", "PASSWORD": "hush"}, "PROTOCOL must be SASL_SSL"),
        ({"PROTOCOL": "SASL_SSL", "USERNAME": "u"}, "USERNAME needs one of"),
        (
            {"PROTOCOL": "SASL_SSL", "USERNAME": "u", "PASSWORD": "hush", "PASSWORD_FILE": "f"},
            "one of PASSWORD",
        ),
        ({"REGISTRY_USERNAME": "u"}, "REGISTRY_USERNAME needs one of"),
        ({"PASSWORT": "hush"}, "nobody knows the setting LOYALTY_SECURITY_PASSWORT"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_told(
    given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name, value)

    with pytest.raises(Failure) as failure:
        security()

    assert said in failure.value.what
    assert "hush" not in str(failure.value)


def test_a_password_comes_from_a_file_or_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hush\n")
    from_file = Security(protocol="SASL_SSL", username="u", password_file=file)
    given = Security(protocol="SASL_SSL", username="u", password=SecretStr("hush"))

    assert from_file.kafka("k:1")["sasl.password"] == given.kafka("k:1")["sasl.password"] == "hush"
    assert "hush" not in f"{from_file!r} {given!r} {given}"
    file.write_text("")
    with pytest.raises(Failure, match="is empty"):
        from_file.kafka("k:1")
    file.unlink()
    with pytest.raises(Failure, match="cannot be read"):
        from_file.kafka("k:1")


def test_the_registry_is_asked_as_somebody(tmp_path: Path) -> None:
    asked = Security(registry_username="r", registry_password=SecretStr("hush"))

    assert asked.registry("https://r")["basic.auth.user.info"] == "r:hush"
    with pytest.raises(Failure, match="there is no file"):
        Security(registry_ca_file=tmp_path / "no.pem").registry("https://r")
