"""The grammar of `--fail-if` and `--slo`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.conditions import Amount, ChangeBy, ChangeByPart, NoCondition, parsed
from bench.yardsticks import YARDSTICKS


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("ttfb_p99<100ms", Amount(0.1)),
        (" ttfb_p99 <= 1.5 s ", Amount(1.5)),
        ("ttfb_p50 > 250us", Amount(0.00025)),
        ("throughput>=1.5GB/s", Amount(1.5e9)),
        ("throughput>1GiB", Amount(2.0**30)),
        ("errors<0.1%", Amount(0.001)),
        ("errors<0.5", Amount(0.5)),
        ("amplification>1.02x", Amount(1.02)),
        ("requests>=300", Amount(300.0)),
        ("ttfb_p99>+10%", ChangeByPart(0.1)),
        ("throughput<-5%", ChangeByPart(-0.05)),
        ("throughput<−5%", ChangeByPart(-0.05)),
        ("ttfb_p99>+5ms", ChangeBy(0.005)),
        ("hit_ratio<-0.02", ChangeBy(-0.02)),
    ],
)
def test_bounds_are_read_in_the_unit_of_the_yardstick(text: str, bound: object) -> None:
    found = parsed(text).bound
    assert type(found) is type(bound)
    assert found.value == pytest.approx(bound.value)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ttfb_p98<100ms", "did you mean 'ttfb_p99'"),
        ("zzz<1", "there are throughput"),
        ("ttfb_p99<100MB", "measured in 'us', 'µs', 'ms', 's', not in 'MB'"),
        ("ttfb_p99<100", "not in 'bare numbers'"),
        ("throughput<5%", "not in '%'"),
        ("ttfb_p99=100ms", "write it like"),
        ("ttfb_p99<", "write it like"),
        ("<100ms", "write it like"),
        ("", "write it like"),
        ("ttfb_p99<1e3ms", "measured in|write it like"),
        ("ttfb_p99<100ms and errors<1%", "write it like"),
        ("x" * 100_000 + "<1", "write it like"),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(NoCondition, match=said):
        parsed(text)


@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_a_mistake(text: str) -> None:
    try:
        condition = parsed(text)
    except NoCondition:
        return
    assert parsed(condition.text) == condition


@given(st.sampled_from(YARDSTICKS), st.sampled_from(["<", "<=", ">", ">="]), st.integers(0, 10**6))
def test_every_yardstick_takes_a_change_in_percent(yardstick: object, sign: str, percent: int) -> None:
    condition = parsed(f"{yardstick.name}{sign}+{percent}%")  # type: ignore[attr-defined]
    assert condition.is_relative
    assert condition.limit(100.0) == pytest.approx(100.0 + percent)


def test_an_absolute_condition_needs_no_other_run() -> None:
    assert parsed("ttfb_p99<100ms").holds(0.099)
    assert not parsed("ttfb_p99<100ms").holds(0.1)


def test_a_relative_condition_is_about_the_difference() -> None:
    assert parsed("ttfb_p99>+10%").holds(0.112, 0.1)
    assert not parsed("ttfb_p99>+10%").holds(0.108, 0.1)
    assert parsed("throughput<-5%").holds(94.0, 100.0)


def test_what_is_not_known_meets_nothing() -> None:
    assert not parsed("cost<1GB").holds(None)
    assert not parsed("cost<-5%").holds(1.0, None)
