"""Distributions of what a run measures, as HDR histograms: three digits right over the whole range, cheap to merge.

Outside this module a measure is in seconds or bytes per second; inside, in whole microseconds or kilobytes per second.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterable, Sequence
from enum import StrEnum

import numpy
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

DIGITS = 3
HOUR_IN_MICROSECONDS = 3_600_000_000
HIGHEST_RATE = 100_000_000
"""100 GB/s, in kB/s."""

_DAMAGE = (HdrCookieException, HdrLengthException, binascii.Error, zlib.error, ValueError, TypeError, IndexError)


class Measure(StrEnum):
    """What a distribution is of."""

    FIRST_BYTE = "first_byte"
    """Seconds from the *intended* start of a request to the first byte of its body (or its head, if it has no body)."""
    SERVICE = "service"
    """Seconds from when the request was really sent to its last byte."""
    RATE = "rate"
    """Bytes per second of a body, from first to last byte."""

    @property
    def is_rate(self) -> bool:
        return self is Measure.RATE


class Damaged(Exception):
    """The text is no histogram of ours."""


class Histogram:
    """One distribution of one measure. Values outside the range are counted at its end, never lost."""

    __slots__ = ("_counts", "_scale", "_top", "measure")

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self._top = HIGHEST_RATE if measure.is_rate else HOUR_IN_MICROSECONDS
        self._scale = 1e-3 if measure.is_rate else 1e6
        self._counts = HdrHistogram(1, self._top, DIGITS)

    def __repr__(self) -> str:
        return f"<Histogram {self.measure} of {len(self)}>"

    def __len__(self) -> int:
        return int(self._counts.get_total_count())

    def add(self, amount: float) -> None:
        """One more value: seconds, or bytes per second."""
        self._counts.record_value(min(max(int(amount * self._scale), 1), self._top))

    def merge(self, other: Histogram) -> None:
        """Everything `other` has seen, too. Both must be of one measure."""
        assert self.measure is other.measure, f"{self.measure} is no {other.measure}"
        if len(other):
            self._counts.add(other._counts)

    def at(self, percents: Sequence[float]) -> list[float]:
        """The values that `percents` (0-100, ascending) of all do not exceed; zeros when it is empty. One walk."""
        if not len(self):
            return [0.0] * len(percents)
        found = self._counts.get_percentile_to_value_dict(list(percents))
        return [found[percent] / self._scale for percent in percents]

    def mean(self) -> float:
        return float(self._counts.get_mean_value()) / self._scale if len(self) else 0.0

    def greatest(self) -> float:
        return float(self._counts.get_max_value()) / self._scale if len(self) else 0.0

    def steps(self) -> list[tuple[float, int]]:
        """All values that occur, ascending, each with how often: what a resampling draws from."""
        # The library's own iterator costs 60 ms for a wide range; its array of counts is public, too.
        counts = self._counts
        each = numpy.frombuffer(counts.counts, numpy.uint64)
        return [
            (counts.get_highest_equivalent_value(counts.get_value_from_index(place)) / self._scale, int(each[place]))
            for place in map(int, each.nonzero()[0])
        ]

    def encoded(self) -> str:
        """The standard text form (HdrHistogram V2, compressed, base64)."""
        text: bytes = self._counts.encode()
        return text.decode("ascii")

    @classmethod
    def decoded(cls, measure: Measure, text: str) -> Histogram:
        """Raises Damaged if `text` is not one that `encoded` has written for this measure."""
        histogram = cls(measure)
        try:
            counts = HdrHistogram.decode(text.encode("ascii"))
        except _DAMAGE as error:
            raise Damaged(f"no HDR histogram: {error}") from error
        shape = (counts.lowest_trackable_value, counts.highest_trackable_value, counts.significant_figures)
        if shape != (1, histogram._top, DIGITS):
            raise Damaged(f"a histogram of another range: {shape}, not {(1, histogram._top, DIGITS)}")
        histogram._counts = counts
        return histogram


def merged(measure: Measure, parts: Iterable[Histogram]) -> Histogram:
    """One distribution of all `parts`."""
    whole = Histogram(measure)
    for part in parts:
        whole.merge(part)
    return whole
