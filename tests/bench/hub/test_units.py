import pytest

from bench.hub.units import parse_rate, parse_seconds, parse_size


@pytest.mark.parametrize(
    ("text", "size"), [("700", 700), ("50MB", 50_000_000), ("1.5kB", 1500), ("2GiB", 2 << 30), ("3 m", 3_000_000)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("20ms", 0.02), ("1.5", 1.5), ("2min", 120), ("1h", 3600)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


def test_a_rate_may_name_the_second() -> None:
    assert parse_rate("50MB/s") == parse_rate("50MB") == 50e6


@pytest.mark.parametrize("text", ["", "fast", "-1", "5 elephants", "1e3"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)
    with pytest.raises(ValueError):
        parse_seconds(text)
