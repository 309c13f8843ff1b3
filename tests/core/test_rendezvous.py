"""Rendezvous: the order is a format, so it is written down here."""

from __future__ import annotations

from proxy.core.rendezvous import Candidate, rank


def test_the_order_never_changes() -> None:
    """Blobs on disks of older versions are found by it."""
    disks = [Candidate("disk-a", 1 << 40), Candidate("disk-b", 2 << 40), Candidate("disk-c", 1 << 40)]
    key = "sha256:" + "7a" * 32
    orders = ["".join(one[-1] for one in rank(f"{key}/{index}/".encode(), disks)) for index in range(8)]
    assert orders == ["cab", "abc", "abc", "bac", "abc", "bac", "bac", "bca"]


def test_only_ratios_of_weights_count() -> None:
    small = [Candidate("a", 1), Candidate("b", 2), Candidate("c", 3)]
    large = [Candidate(one.id, one.weight << 40) for one in small]
    assert all(rank(b"%d" % name, small) == rank(b"%d" % name, large) for name in range(1000))
