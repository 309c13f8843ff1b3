"""A few seconds of a storm (`tests/storm`): clients, operators and faults at once, and every answer judged."""

from __future__ import annotations

from pathlib import Path

from tests.storm.run import Order, stormed

PASSING = ("hub", "web", "reload", "kill-worker")
"""Faults whose effects are over in a moment, however busy the machine."""


async def test_no_answer_is_wrong_and_nothing_is_left(tmp_path: Path) -> None:
    report = await stormed(Order(seed=5, seconds=5.0, shape="workers", clients=4, only=PASSING), tmp_path)
    assert not report.complaints, str(report)
    assert report.exchanges > 0
