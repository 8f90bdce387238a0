"""Traces: one span for each fact that its source traces, and the way on to all that is written of it (RFC 0013).

Off unless OTEL_TRACES_EXPORTER says `otlp`; nothing of OpenTelemetry is even imported then, and no function of the
engine is wrapped. Where to, how often and as whom is said by the standard's own variables, which its library reads
(OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_…).

A worker begins no trace of its own: what to trace, its source says in the record's `traceparent`. A span lasts from the
record's processing to the commit that shows its results, and is an error when that transaction was aborted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from threading import Thread
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

import structlog

from pipelines.failure import Failure
from pipelines.runtime.logs import pseudonym
from pipelines.runtime.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from pipelines.runtime.engine import HardenedApplication

EXPORTER: Final = "OTEL_TRACES_EXPORTER"
DISABLED: Final = "OTEL_SDK_DISABLED"
PARENT: Final = "traceparent"
FLUSH_S: Final = 5.0
"""How long a worker that ends waits for its last spans to be taken."""
log = structlog.get_logger()


def wanted() -> bool:
    """Whether traces are asked for; a Failure for an exporter that is not offered."""
    chosen = os.environ.get(EXPORTER, "none").strip().lower()
    if chosen in ("", "none") or os.environ.get(DISABLED, "").strip().lower() == "true":
        return False
    if chosen != "otlp":
        raise Failure(f"{EXPORTER} is {chosen!r}", "choose otlp, or none")
    return True


def traced(app: HardenedApplication, settings: Settings) -> AbstractContextManager[object]:
    """Trace what this worker processes, from here to the end of the context, when that is asked for.

    Before the join is made and the graph is built: both then use what is put in place here.
    """
    if not wanted():
        return nullcontext()
    try:
        provider = _provider(settings)
    except ImportError as error:
        what = f"{EXPORTER} asks for traces, and OpenTelemetry is not installed: {error}"
        raise Failure(what, "install loyalty-streams[traces], or unset it") from error
    traces = Traces(provider, settings)
    traces.follow(app)
    log.info("tracing what sources trace", exporter="otlp")
    return traces


def _provider(settings: Settings) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME") or f"loyalty-{settings.processor}",
        "service.version": version("loyalty-streams"),
        "service.instance.id": settings.replica,
    }
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Traces:
    """The spans of the open transaction; what is sent while a record is processed carries the record's context."""

    def __init__(self, provider: TracerProvider, settings: Settings) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("loyalty-streams", version("loyalty-streams"))
        self._context = TraceContextTextMapPropagator()
        self._kind = SpanKind.CONSUMER
        self._settings = settings
        self._open: list[Span] = []
        self._carried: list[tuple[str, bytes]] | None = None
        self._written = 0

    def __enter__(self) -> Traces:
        return self

    def __exit__(self, *_: object) -> None:
        """Send what is left. A collector that does not answer must not hold up a worker that leaves."""
        self._end_all("the worker ended")
        flushing = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        flushing.start()
        flushing.join(FLUSH_S)

    def follow(self, app: HardenedApplication) -> None:
        """Put the worker's producer, its processing and the ends of its transactions behind this."""
        producer, each = app.producer, app.each
        producer.send = self._sending(producer.send)
        producer.commit_transaction = self._ending(producer.commit_transaction, None)
        producer.abort_transaction = self._ending(producer.abort_transaction, "the transaction was aborted")

        def each_traced(process: Callable[[Any], None]) -> None:
            each(self._processing(process))

        app.each = each_traced  # type: ignore[method-assign]

    def _processing(self, process: Callable[[Any], None]) -> Callable[[Any], None]:
        def processing(message: Any) -> None:
            carrier = {name: value for name, value in message.headers() or () if name.startswith("trace")}
            if PARENT not in carrier:
                process(message)
                return
            span = self._begin(message, carrier)
            if span is None:
                process(message)
                return
            try:
                process(message)
            except Exception as error:
                span.record_exception(error)
                raise
            finally:
                self._carried = None
            span.add_event("processed", {"loyalty.records_written": self._written})

        return processing

    def _begin(self, message: Any, carrier: dict[str, bytes]) -> Span | None:
        """A span in the trace that the source names; None when what it says is no trace."""
        from opentelemetry.trace import get_current_span, set_span_in_context

        given = {name: value.decode("ascii", "replace") for name, value in carrier.items() if value}
        context = self._context.extract(given)
        if not get_current_span(context).get_span_context().is_valid:
            return None
        span = self._tracer.start_span(
            f"process {message.topic()}", context, self._kind, self._attributes(message)
        )
        told: dict[str, str] = {}
        self._context.inject(told, set_span_in_context(span, context))
        self._carried = [(name, value.encode()) for name, value in told.items()]
        self._written = 0
        if span.is_recording():
            self._open.append(span)
        return span

    def _attributes(self, message: Any) -> dict[str, str | int]:
        """By the conventions for messaging; the key is a member's id and stays out, as of logs."""
        return {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": message.topic(),
            "messaging.destination.partition.id": str(message.partition()),
            "messaging.kafka.offset": message.offset(),
            "messaging.consumer.group.name": self._settings.group,
            "loyalty.member": pseudonym(message.key()) or "nobody",
        }

    def _sending(self, send: Callable[..., None]) -> Callable[..., None]:
        def sending(*record: Any) -> None:
            if self._carried is None:
                send(*record)
                return
            topic, key, value, timestamp_ms, *where = record
            self._written += 1
            send(topic, key, value, timestamp_ms, where[0] if where else None, self._carried)

        return sending

    def _ending(self, end: Callable[..., None], wrong: str | None) -> Callable[..., None]:
        def ending(*given: Any, **more: Any) -> None:
            end(*given, **more)
            self._end_all(wrong)

        return ending

    def _end_all(self, wrong: str | None) -> None:
        if not self._open:
            return
        from opentelemetry.trace import Status, StatusCode

        at_ns = time_ns()
        for span in self._open:
            if wrong is not None:
                span.set_status(Status(StatusCode.ERROR, wrong))
            span.end(at_ns)
        self._open.clear()
