"""`penstock prune` asks the node again and again; what it tells is of all its calls."""

from __future__ import annotations

from typing import Any

from proxy.cli.removal import together


def told(before: int, after: int, blobs: int, *, disk: str = "disk0") -> dict[str, Any]:
    return {"disk": disk, "before": before, "target": 10, "after": after, "blobs": blobs}


def test_what_two_calls_came_to() -> None:
    first = {"disks": [told(100, 60, 4)], "left": 50}
    then = {"disks": [told(60, 10, 5)], "left": 0}
    assert together(first, then) == {"disks": [told(100, 10, 9)], "left": 0}


def test_a_disk_that_went_out_between_them_is_as_it_was_last_seen() -> None:
    first = {"disks": [told(100, 60, 4), told(30, 20, 1, disk="disk1")], "left": 60}
    then = {"disks": [told(20, 10, 1, disk="disk1")], "left": 0}
    assert together(first, then) == {"disks": [told(100, 60, 4), told(30, 10, 2, disk="disk1")], "left": 0}
