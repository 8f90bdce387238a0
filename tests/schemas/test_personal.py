"""Every field says whether it is personal, and the page for the data protection officer says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import catalogue, personal
from schemas.personal import Personal

PAGE = Path(__file__).parents[2] / "docs/PERSONAL-DATA.md"


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_every_field_says_whether_it_is_personal(topic: str) -> None:
    untold = [path for path, said in personal.fields(topic) if said not in list(Personal)]
    assert untold == []


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_a_member_id_is_a_pseudonym_wherever_it_stands(topic: str) -> None:
    for path, said in personal.fields(topic):
        if path.split(".")[-1] in ("member_id", "from_member_id", "merged_into", "key", "path"):
            assert said == Personal.PSEUDONYM, path


def test_nothing_that_would_name_a_person_is_in_any_schema() -> None:
    names = {path.split(".")[-1] for topic in catalogue.TOPICS for path, _ in personal.fields(topic)}
    forbidden = {"email", "phone", "address", "first_name", "last_name", "birth_date", "birthday", "ip"}
    assert not names & forbidden


def test_the_data_map_is_the_schemas_own() -> None:
    assert personal.table() in PAGE.read_text(), (
        "run `loyalty schemas personal`, and put its table into the page"
    )
