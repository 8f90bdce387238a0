"""The same work as one would write it from the documentation of Quix Streams: concat, Avro serdes, and State by key.

`rules.py` says which rules it implements, and which it does not.
"""

from __future__ import annotations

import json
import sys
from functools import reduce

from quixstreams import Application
from quixstreams.models.serializers.avro import AvroDeserializer, AvroSerializer
from quixstreams.models.serializers.schema_registry import SchemaRegistryClientConfig

from benchmarks.peers.rules import answer
from schemas import catalogue


def main() -> None:
    bootstrap, registry, prefix, commit_ms, state_dir, *names = sys.argv[1:]
    client = SchemaRegistryClientConfig(url=registry)
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"{prefix}plain-quix",
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        commit_interval=int(commit_ms) / 1000,
        consumer_poll_timeout=0.02,
        state_dir=state_dir,
        loglevel="WARNING",
        producer_extra_config={"compression.type": "lz4", "linger.ms": 50},
    )
    frames = []
    for name in names:
        deserializer = AvroDeserializer(schema_registry_client_config=client)
        topic = app.topic(prefix + name, key_deserializer="str", value_deserializer=deserializer)
        frames.append(app.dataframe(topic))
    ledger, balances = (
        app.topic(
            f"{prefix}plain-quix.{name}",
            key_serializer="str",
            value_serializer=AvroSerializer(
                json.loads(catalogue.released(name)), schema_registry_client_config=client
            ),
        )
        for name in (catalogue.LEDGER, catalogue.BALANCES)
    )
    results = reduce(lambda left, right: left.concat(right), frames).apply(answer, stateful=True, expand=True)
    results.filter(lambda result: "entry_id" in result).to_topic(ledger)
    results.filter(lambda result: "entry_id" not in result).to_topic(balances)
    app.run()


if __name__ == "__main__":
    main()
