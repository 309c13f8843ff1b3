"""Who reads range after range."""

from __future__ import annotations

from proxy.core.blob import BlobKey
from proxy.core.sizes import GIB, MIB
from proxy.core.spans import Span
from proxy.fetch.readahead import ReadAhead

KEY = BlobKey.sha256("ab" * 32)


def test_a_single_range_costs_nothing_more() -> None:
    assert not ReadAhead(64 * MIB).after(KEY, Span(5 * MIB, 6 * MIB), GIB)


def test_a_run_of_ranges_is_read_ahead_of_with_a_growing_window() -> None:
    ahead = ReadAhead(64 * MIB)
    windows = [len(ahead.after(KEY, Span(i * 10 * MIB, (i + 1) * 10 * MIB), GIB)) for i in range(7)]
    assert windows == [0, 8 * MIB, 16 * MIB, 32 * MIB, 64 * MIB, 64 * MIB, 64 * MIB]


def test_a_jump_ends_the_run() -> None:
    ahead = ReadAhead(64 * MIB)
    ahead.after(KEY, Span(0, MIB), GIB)
    assert ahead.after(KEY, Span(MIB, 2 * MIB), GIB)
    assert not ahead.after(KEY, Span(500 * MIB, 501 * MIB), GIB)


def test_the_window_ends_with_the_blob() -> None:
    ahead = ReadAhead(64 * MIB)
    ahead.after(KEY, Span(0, MIB), 3 * MIB)
    assert ahead.after(KEY, Span(MIB, 2 * MIB), 3 * MIB) == Span(2 * MIB, 3 * MIB)
