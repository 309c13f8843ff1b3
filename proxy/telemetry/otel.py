"""Spans of OpenTelemetry, sent to a collector by a thread of the library. Imported only when traces are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .tracing import Span, Traits, current

_QUEUE: Final = 2048
"""Spans that wait for the collector; further ones are dropped, requests never wait."""
_EVERY_MS: Final = 1000
_WITHIN: Final = 5.0
"""Seconds for the collector to answer."""
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class OtelSpan:
    """`tracing.Span` of a span of the library."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span, *, tells_outside: bool) -> None:
        self._tracer = tracer
        self._span = span
        self._tells_outside = tells_outside

    def child(self, name: str, traits: Traits) -> Span:
        span = self._tracer.start_span(
            name, trace.set_span_in_context(self._span, Context()), SpanKind.CLIENT, dict(traits)
        )
        return OtelSpan(self._tracer, span, tells_outside=self._tells_outside)

    def fields(self, *, outside: bool) -> Mapping[str, str]:
        told: dict[str, str] = {}
        if not outside or self._tells_outside:
            _PROPAGATOR.inject(told, trace.set_span_in_context(self._span, Context()))
        return told

    def note(self, traits: Traits) -> None:
        self._span.set_attributes(dict(traits))

    def end(self, error: str | None = None) -> None:
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


class OtelTracer:
    """`tracing.Tracer` to a collector. Close it, so that what waits is sent."""

    def __init__(self, endpoint: str, *, sample: float, tells_outside: bool, node: str, version: str) -> None:
        resource = Resource.create(
            {"service.name": "penstock", "service.version": version, "service.instance.id": node}
        )
        self._provider = TracerProvider(
            resource=resource, sampler=ParentBased(TraceIdRatioBased(sample)), shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=_WITHIN)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=_EVERY_MS)
        )
        self._tracer = self._provider.get_tracer("penstock", version)
        self._tells_outside = tells_outside

    def serving(self, name: str, fields: Mapping[str, str]) -> AbstractContextManager[Span | None]:
        return self._serving(name, fields)

    @contextmanager
    def _serving(self, name: str, fields: Mapping[str, str]) -> Iterator[Span]:
        carried = {key: fields[key] for key in ("traceparent", "tracestate") if key in fields}
        made = self._tracer.start_span(name, _PROPAGATOR.extract(carried, Context()), SpanKind.SERVER)
        span = OtelSpan(self._tracer, made, tells_outside=self._tells_outside)
        former = current.set(span)
        try:
            yield span
        except BaseException as error:
            span.end(type(error).__name__)
            raise
        else:
            span.end()
        finally:
            current.reset(former)

    def close(self) -> None:
        """Blocks for as long as the collector takes to answer, some seconds at most."""
        self._provider.shutdown()
