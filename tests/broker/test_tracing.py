"""A fact that its source traces is followed through the pipelines; one that it does not trace is not."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pipelines.domain.facts import Order
from pipelines.failure import Failure
from pipelines.runtime.tracing import EXPORTER, wanted
from schemas import catalogue
from schemas.codec import topic_of
from tests.support.collector import Collector, collecting
from tests.support.facts import line, member, order
from tests.support.pipeline import Pipeline, wait_until

MEMBER: Final = member("2026-02-01T10:00:00Z")
BOUGHT: Final = order("O1", "2026-02-02T10:00:00Z", line("A", 600_00))
"""Enough for a tier: the triggers have something to say of it."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Workers that are started from here on tell it their spans, each soon."""
    with collecting() as made:
        monkeypatch.setenv(EXPORTER, "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield made


def bought_in_the_app(pipeline: Pipeline, collector: Collector) -> str:
    """The app's own span, and its order on the topic with the span's context; the trace's id."""
    provider = TracerProvider(resource=Resource.create({"service.name": "app"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{collector.endpoint}/v1/traces")))
    carrier: dict[str, str] = {}
    with provider.get_tracer("app").start_as_current_span("checkout") as span:
        TraceContextTextMapPropagator().inject(carrier)
        send(pipeline, BOUGHT, carrier)
    provider.shutdown()
    return f"{span.get_span_context().trace_id:032x}"


def send(pipeline: Pipeline, fact: Order, carrier: dict[str, str]) -> None:
    value, key = pipeline.codec.encode(fact), fact.member_id.encode()
    carried: list[tuple[str, bytes | None]] = [(name, text.encode()) for name, text in carrier.items()]
    pipeline.send_bytes(topic_of(fact), key, value, fact.recorded_at_ms, carried)
    pipeline.sender.flush()


NONE: Final = ("", "")


def parents(pipeline: Pipeline, *topics: str) -> list[tuple[str, str]]:
    """Of all committed records of these topics the trace and the span in their `traceparent`, or NONE."""
    carried = (header.split("-") for header in headers(pipeline, *topics))
    return [(parts[1], parts[2]) if len(parts) == 4 else NONE for parts in carried]


def headers(pipeline: Pipeline, *topics: str) -> list[str]:
    """The header `traceparent` of all committed records of these topics; empty where there is none."""
    reader = Consumer(
        {
            "bootstrap.servers": pipeline.cluster.bootstrap_servers,
            "group.id": "looks at headers",
            "enable.partition.eof": True,
        }
    )
    wanted = [
        TopicPartition(pipeline.topic(topic), partition, OFFSET_BEGINNING)
        for topic in topics
        for partition in range(pipeline.partitions)
    ]
    reader.assign(wanted)
    found, ends = [], 0
    while ends < len(wanted):
        message = reader.poll(30)
        assert message is not None
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            ends += 1
        else:
            found.append((dict(message.headers() or []).get("traceparent") or b"").decode())
    reader.close()
    return found


@pytest.mark.broker
def test_an_order_is_one_trace_from_the_app_to_what_the_member_is_told(
    pipeline: Pipeline, collector: Collector
) -> None:
    pipeline.send([MEMBER])
    accounts, triggers = pipeline.start("w0"), pipeline.start("t0", processor="triggers")
    trace = bought_in_the_app(pipeline, collector)
    tiers = pipeline.topic(catalogue.TIERS)
    wait_until(lambda: any(s.name == f"process {tiers}" for s in collector.spans), "the triggers' span")
    stop(accounts, triggers)

    (checkout,) = collector.of("app")
    (rated,) = collector.of("loyalty-accounts")
    (told,) = [s for s in collector.of("loyalty-triggers") if s.name == f"process {tiers}"]
    assert {span.trace_id for span in collector.spans} == {trace}
    assert rated.parent_id == checkout.span_id
    assert told.parent_id == rated.span_id
    assert rated.name == f"process {pipeline.topic(catalogue.ORDERS)}"
    assert rated.attributes["messaging.system"] == "kafka"
    assert rated.attributes["messaging.kafka.offset"] == 0
    assert rated.attributes["messaging.consumer.group.name"] == pipeline.settings().group
    assert rated.events == ("processed",)
    assert not rated.error
    assert "m-1" not in str(rated.attributes)
    for topic in (catalogue.LEDGER, catalogue.BALANCES, catalogue.TIERS, catalogue.TIER_PROGRESS):
        assert (trace, rated.span_id) in parents(pipeline, topic), topic
    told_by = {(trace, span.span_id) for span in collector.of("loyalty-triggers")}
    assert told_by & set(parents(pipeline, catalogue.TRIGGERS, catalogue.SUPPRESSED_TRIGGERS))
    assert NONE in parents(pipeline, catalogue.LEDGER), "what no trace caused, the welcome, carries none"


def stop(*workers: subprocess.Popen[bytes]) -> None:
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(60) for worker in workers] == [0] * len(workers)


PARENT: Final = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.mark.broker
@pytest.mark.parametrize(
    ("traceparent", "carried"),
    [
        pytest.param(f"00-{PARENT}-00", f"00-{PARENT[:32]}-", id="not sampled"),
        pytest.param("00-nonsense-01", None, id="nonsense"),
    ],
)
def test_what_its_source_does_not_sample_has_no_span_and_its_context_goes_on(
    pipeline: Pipeline, collector: Collector, traceparent: str, carried: str | None
) -> None:
    pipeline.send([MEMBER])
    send(pipeline, BOUGHT, {"traceparent": traceparent})

    pipeline.run()

    assert collector.spans == []
    found = set(headers(pipeline, catalogue.TIERS))
    if carried is None:
        assert found == {""}
    else:
        assert any(h.startswith(carried) and h.endswith("-00") for h in found), found


@pytest.mark.broker
def test_a_collector_that_is_away_changes_nothing_of_what_members_get(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXPORTER, "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    pipeline.send([MEMBER])
    send(pipeline, BOUGHT, {"traceparent": f"00-{PARENT}-01"})
    worker = pipeline.start("w0")
    pipeline.wait_until_caught_up()

    stop(worker)

    assert "TIER_BONUS" not in {e["reason"] for e in pipeline.read(catalogue.LEDGER)}
    assert {e["reason"] for e in pipeline.read(catalogue.LEDGER)} == {"WELCOME", "BASE"}


def test_nothing_of_it_is_imported_when_nobody_asks_for_traces() -> None:
    asked = "import sys, pipelines.cli.run; print([m for m in sys.modules if m.startswith('opentelemetry')])"

    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"


@pytest.mark.parametrize(
    ("environment", "so"),
    [
        ({}, False),
        ({EXPORTER: "none"}, False),
        ({EXPORTER: "otlp"}, True),
        ({EXPORTER: "otlp", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_standards_own_variables_say_whether(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, Any], so: bool
) -> None:
    for name in (EXPORTER, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert wanted() is so


def test_an_exporter_that_is_not_offered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXPORTER, "zipkin")

    with pytest.raises(Failure, match="OTEL_TRACES_EXPORTER is 'zipkin'") as refused:
        wanted()
    assert refused.value.do == "choose otlp, or none"
