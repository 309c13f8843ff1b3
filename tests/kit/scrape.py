"""`/metrics` and the access log, as values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One reading of /metrics."""

    text: str
    samples: tuple[tuple[str, dict[str, str], float], ...]

    @classmethod
    def parse(cls, text: str) -> Page:
        families = text_string_to_metric_families(text)
        return cls(text, tuple((s.name, dict(s.labels), s.value) for family in families for s in family.samples))

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of `penstock_{name}` that carry these labels."""
        return sum(value for _, value in self.matching(name, **labels))

    def matching(self, name: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
        wanted = f"penstock_{name}"
        for sample, has, value in self.samples:
            if sample == wanted and all(has.get(label) == text for label, text in labels.items()):
                yield has, value


def access_records(path: Path) -> list[dict[str, Any]]:
    """The lines of an access log. A line that is cut short is none (a killed worker may leave one, the last)."""
    records: list[dict[str, Any]] = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records
