"""The section of the configuration for traces (OpenTelemetry)."""

from __future__ import annotations

from pydantic import field_validator

from .spelling import Section, http_url, knob


class TracingSection(Section):
    """Where the ways of misses are told (OpenTelemetry): from the node that was asked to the owner to the origin."""

    endpoint: str | None = knob(
        None,
        "A collector of OpenTelemetry, by OTLP over HTTP (http://collector:4318). Nothing is traced when not set. "
        "Needs pip install 'penstock[otel]'.",
    )
    sample: float = knob(
        1.0,
        "Share of the requests that are traced, of those that do not come with a decision of their own.",
        ge=0,
        le=1,
    )
    to_origin: bool = knob(False, "Tell the origin too which trace a question belongs to (traceparent).")

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        return None if value is None else http_url(value)
