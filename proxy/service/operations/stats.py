"""The node in figures: read off its own metrics page, so that both always say the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from pydantic import Field

from .shape import Told


class DiskTold(Told):
    """A disk of the store; sizes in bytes."""

    name: str
    path: str
    state: str
    size: int = Field(description="Most bytes it may hold for us.")
    stored: int
    reserved: int
    pinned: int
    objects: int
    free: int = Field(description="Free on its file system.")


class StatsTold(Told):
    """The node since its start (bytes, counts), and as it is now (gauges)."""

    version: str
    requests: int
    by_outcome: dict[str, int] = Field(description="Requests by how their answer came about (hit, miss, …).")
    errors: int = Field(description="Requests answered with 5xx.")
    delivered: int = Field(description="Body bytes to clients.")
    by_source: dict[str, int] = Field(description="The same by where they came from.")
    request_hit_ratio: float | None = Field(description="Hits of all requests that can be hits; null before any.")
    byte_hit_ratio: float | None = Field(description="Bytes from disk and memory of all delivered; null before any.")
    origin: int = Field(description="Body bytes from the origin.")
    peers: int = Field(description="Body bytes from peers.")
    origin_requests: int
    origin_allows: int | None = Field(description="Requests the origin still allows in this window, as it last said.")
    in_flight: int
    connections: int
    fills: int = Field(description="Downloads under way.")
    waiters: int = Field(description="Readers that follow a download of somebody else.")
    evicted: int = Field(description="Bytes evicted.")
    corruptions: int
    workers: int = Field(description="Workers that are ready.")
    disks: list[DiskTold]


class _Page:
    """Samples of a metrics page by name."""

    def __init__(self, page: bytes) -> None:
        self._samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(page.decode()):
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def total(self, name: str) -> int:
        return int(sum(value for _, value in self.of(name)))

    def by(self, name: str, label: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for labels, value in self.of(name):
            found[labels.get(label, "")] = found.get(labels.get(label, ""), 0) + int(value)
        return found

    def of(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        yield from self._samples.get(f"penstock_{name}", ())


def stats_of(page: bytes, status: dict[str, Any]) -> StatsTold:
    """What the metrics page and the status of a node come to."""
    found = _Page(page)
    outcomes, sources = found.by("http_requests_total", "cache"), found.by("response_bytes_total", "source")
    allows = [value for _, value in found.of("upstream_ratelimit_remaining")]
    hits = outcomes.get("hit", 0) + outcomes.get("stale", 0) + outcomes.get("revalidated", 0)
    askable = hits + outcomes.get("miss", 0) + outcomes.get("coalesced", 0)
    delivered = sum(sources.values())
    return StatsTold(
        version=str(status["version"]),
        requests=sum(outcomes.values()),
        by_outcome=outcomes,
        errors=int(
            sum(value for labels, value in found.of("http_requests_total") if labels.get("code", "").startswith("5"))
        ),
        delivered=delivered,
        by_source=sources,
        request_hit_ratio=hits / askable if askable else None,
        byte_hit_ratio=(sources.get("disk", 0) + sources.get("memory", 0)) / delivered if delivered else None,
        origin=found.total("upstream_bytes_total"),
        peers=found.total("peer_bytes_total"),
        origin_requests=found.total("upstream_requests_total"),
        origin_allows=int(min(allows)) if allows else None,
        in_flight=found.total("requests_in_flight"),
        connections=found.total("connections"),
        fills=found.total("fills_in_progress"),
        waiters=found.total("coalesced_waiters"),
        evicted=found.total("evicted_bytes_total"),
        corruptions=found.total("corruptions_total"),
        workers=found.by("workers", "state").get("ready", 0),
        disks=_disks(status),
    )


def _disks(status: dict[str, Any]) -> list[DiskTold]:
    """Every worker sees the same disks: one that answers is enough."""
    nodes = [status.get("node"), *(worker.get("node") for worker in status.get("workers", ()))]
    known: list[dict[str, Any]] = next((node["disks"] for node in nodes if node and "disks" in node), [])
    return [DiskTold(**{name: disk[name] for name in DiskTold.model_fields}) for disk in known]
