"""Workers of a fleet as the tests need them: each with a line and leases of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from proxy.cluster.lease import Leases
from proxy.cluster.observer import LeaseOutcome, QuestionOutcome, RedisResult
from proxy.cluster.redis import SharedRedis
from proxy.config.redis_address import Login, OneServer, RedisAddress
from proxy.core.blob import BlobKey
from proxy.core.clock import Clock, SystemClock

KEY = BlobKey.sha256("ab" * 32)
LEASE = f"penstock:lease:{{{KEY}}}:0"
HOLDERS = f"penstock:holders:{{{KEY}}}:0"
EPOCH = f"penstock:epoch:{{{KEY}}}:0"

PATIENT = 5.0
"""Seconds for a call where it is not what is looked at: a loaded machine may need more than the usual quarter."""


@dataclass(slots=True)
class Noted:
    """What the room told whoever counts."""

    calls: list[RedisResult] = field(default_factory=list)
    breaker: list[str] = field(default_factory=list)
    leases: list[LeaseOutcome] = field(default_factory=list)
    questions: list[QuestionOutcome] = field(default_factory=list)
    lost: int = 0

    def redis_call(self, result: RedisResult, seconds: float) -> None:
        self.calls.append(result)

    def redis_breaker(self, state: str) -> None:
        self.breaker.append(state)

    def lease(self, outcome: LeaseOutcome, seconds: float) -> None:
        self.leases.append(outcome)

    def question(self, outcome: QuestionOutcome) -> None:
        self.questions.append(outcome)

    def lease_lost(self) -> None:
        self.lost += 1


@asynccontextmanager
async def worker(
    address: RedisAddress,
    node: str = "a",
    *,
    ttl: float = 10.0,
    noted: Noted | None = None,
    clock: Clock | None = None,
    within: float = PATIENT,
) -> AsyncIterator[Leases]:
    """A worker of `node`, which its peers reach at http://<node>:1."""
    noted, clock = noted or Noted(), clock or SystemClock()
    async with (
        SharedRedis.open(address, clock=clock, observer=noted, within=within) as redis,
        Leases.open(redis, node=node, boot="b", url=f"http://{node}:1", ttl=ttl, clock=clock, observer=noted) as leases,
    ):
        yield leases


def through(port: int) -> OneServer:
    return OneServer(("127.0.0.1", port), 0, Login())
