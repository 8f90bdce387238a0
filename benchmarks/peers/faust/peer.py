"""The same work as one would write it from the documentation of Faust: an agent, a table on RocksDB, exactly once.

It runs in an environment of its own (requirements.lock). Faust reads several topics as they come, not in order of time:
so all facts come to it in one topic, in their order, which is less work than the other engines have.
"""

from __future__ import annotations

import json
import struct
import sys
from io import BytesIO
from typing import Any
from urllib.request import urlopen

import mode.loop

mode.loop.use("uvloop")  # before Faust is there

import faust  # noqa: E402
from fastavro import parse_schema, schemaless_reader, schemaless_writer  # noqa: E402

from benchmarks.peers.rules import answer  # noqa: E402

BOOTSTRAP, REGISTRY, PREFIX, COMMIT_MS, STATE_DIR = sys.argv[1:]
HEAD = struct.Struct(">bI")
PARTITIONS = 8


def _asked(path: str) -> dict[str, Any]:
    with urlopen(REGISTRY + path, timeout=10) as answered:
        found: dict[str, Any] = json.load(answered)
    return found


class Avro(faust.Codec):  # type: ignore[misc]
    """Avro in the Confluent wire format; with a topic, it writes that topic's newest schema."""

    def __init__(self, topic: str | None = None, **kwargs: Any) -> None:
        super().__init__(topic=topic, **kwargs)
        self._readers: dict[int, Any] = {}
        if topic is not None:
            newest = _asked(f"/subjects/{topic}-value/versions/latest")
            self._head, self._schema = HEAD.pack(0, newest["id"]), _parsed(newest)

    def _loads(self, s: bytes) -> Any:
        _, schema_id = HEAD.unpack_from(s)
        if schema_id not in self._readers:
            self._readers[schema_id] = _parsed(_asked(f"/schemas/ids/{schema_id}"))
        return schemaless_reader(BytesIO(s[HEAD.size :]), self._readers[schema_id], None)

    def _dumps(self, obj: Any) -> bytes:
        out = BytesIO()
        out.write(self._head)
        schemaless_writer(out, self._schema, obj)
        return out.getvalue()


def _parsed(found: dict[str, Any]) -> Any:
    return parse_schema(json.loads(found["schema"]))


class Kept:
    """What is kept of one member, in the table under the member's name."""

    def __init__(self, table: faust.Table[str, Any], member_id: str) -> None:
        self._table, self._member_id = table, member_id

    def get(self, key: str, default: Any = None) -> Any:
        found = self._table.get(f"{self._member_id}|{key}")
        return default if found is None else found

    def set(self, key: str, value: Any) -> None:
        self._table[f"{self._member_id}|{key}"] = value


app = faust.App(
    f"{PREFIX}faust",
    broker=f"kafka://{BOOTSTRAP}",
    datadir=STATE_DIR,
    store="rocksdb://?driver=rocksdict",
    processing_guarantee="exactly_once",
    broker_commit_interval=int(COMMIT_MS) / 1000,
    producer_compression_type="lz4",
    producer_linger=0.05,
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
)
facts = app.topic(f"{PREFIX}faust.facts", key_type=str, key_serializer="raw", value_serializer=Avro())
ledger, balances = (
    app.topic(
        f"{PREFIX}faust.{name}",
        key_type=str,
        key_serializer="raw",
        value_serializer=Avro(name),
        internal=False,
    )
    for name in ("loyalty.ledger.v1", "loyalty.balances.v1")
)
table = app.Table("kept", partitions=PARTITIONS)


@app.agent(facts)
async def points(stream: faust.Stream[dict[str, Any]]) -> None:
    async for fact in stream:
        member_id = fact["member_id"]
        for result in answer(fact, Kept(table, member_id)):
            await (ledger if "entry_id" in result else balances).send(key=member_id, value=result)


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "-l", "warn", "--without-web"]
    app.main()
