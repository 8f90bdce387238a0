"""Tables follow the schemas: every field, its documentation, its type, and every record that was ever an example."""

from __future__ import annotations

import json
from datetime import datetime
from io import BytesIO
from typing import Any

import fastavro
import pyarrow as pa
import pytest

from pipelines.failure import Failure
from pipelines.warehouse.columns import Shape
from pipelines.warehouse.tables import BY_NAME, ICEBERG, Table
from schemas import catalogue

LEDGER = BY_NAME["ledger"]


def shape(table: Table, **added: Any) -> Shape:
    schema = json.loads(catalogue.released(table.topic))
    schema["fields"] += added.get("fields", [])
    return Shape(table, json.dumps(schema))


def example(table: Table) -> dict[str, Any]:
    text = (catalogue.FOLDER / table.topic / "v1.example.json").read_text()
    schema = catalogue.parsed(table.topic)
    value = BytesIO()
    fastavro.schemaless_writer(value, schema, json.loads(text, object_hook=_with_bytes))
    value.seek(0)
    record = fastavro.schemaless_reader(value, schema, None)
    assert isinstance(record, dict)
    return record | {"source_partition": 3, "source_offset": 77}


def _with_bytes(record: dict[str, Any]) -> dict[str, Any]:
    """Dead letters hold bytes, which their example writes as text."""
    raw = {"key", "value"} if {"error_class", "name"} & set(record) and "points" not in record else set()
    raw &= {name for name, value in record.items() if isinstance(value, str)}
    return {name: value.encode("latin-1") if name in raw else value for name, value in record.items()}


@pytest.mark.parametrize("table", ICEBERG, ids=lambda table: table.name)
def test_every_field_of_the_schema_is_a_column_with_its_documentation(table: Table) -> None:
    made = shape(table).iceberg()

    fields = json.loads(catalogue.released(table.topic))["fields"]
    assert {f["name"]: f["doc"] for f in fields}.items() <= {f.name: f.doc for f in made.fields}.items()
    assert all(field.doc for field in made.fields)


def test_a_field_that_may_be_left_out_may_be_null_and_no_other() -> None:
    made = shape(BY_NAME["balances"]).iceberg()

    assert made.find_field("active").required
    assert not made.find_field("reserved").required  # it has a default: a later schema may be without it
    assert not made.find_field("next_expiry_at").required


def test_what_may_be_taken_back_keeps_its_member_and_its_day() -> None:
    made = shape(BY_NAME["balances_history"]).iceberg()

    required = {field.name for field in made.fields if field.required}
    assert required == {"member_id", "recorded_at", "source_partition", "source_offset", "removed"}


@pytest.mark.parametrize("table", ICEBERG, ids=lambda table: table.name)
def test_a_record_comes_back_from_its_columns_as_it_was(table: Table) -> None:
    record = example(table)

    made = shape(table)
    row = made.rows([record]).to_pylist()[0]

    row.pop("removed", None)
    assert _with_millis(row) == record


def _with_millis(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_millis(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_millis(part) for part in value]
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


def test_an_instant_that_is_on_no_calendar_is_found_wherever_it_stands() -> None:
    member = example(BY_NAME["members"])
    made = shape(BY_NAME["members"])

    assert made.absurd(member) is None
    assert made.absurd(member | {"enrolled_at": 10**17}) == "enrolled_at"
    consent = {"purpose": "marketing", "granted_at": -(10**17), "withdrawn_at": None}
    assert made.absurd(member | {"consents": [consent]}) == "consents.granted_at"


def test_no_rows_are_a_table_too() -> None:
    made = shape(LEDGER)

    assert made.rows([]).schema == made.arrow
    assert pa.types.is_struct(made.arrow.field("derivation").type)


def test_a_union_of_two_types_is_refused() -> None:
    field = {"name": "either", "type": ["null", "long", "string"], "default": None, "doc": "Either."}

    with pytest.raises(Failure, match="no column can hold"):
        shape(LEDGER, fields=[field])
