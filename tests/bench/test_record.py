"""`run.json`: what is written is read back; what is not ours is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import record
from bench.histograms import Measure
from bench.record import Conservation, Distribution, Source, Sum, Unreadable
from tests.kit.runs import sampled_run


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.json"
    record.write(sampled_run(seconds=3), path)
    return path


def changed(written: Path, **fields: Any) -> bytes:
    return json.dumps(json.loads(written.read_bytes()) | fields).encode()


def test_a_run_is_read_back_as_it_was(written: Path) -> None:
    assert record.read(written) == sampled_run(seconds=3)


def test_a_folder_stands_for_the_record_in_it(written: Path) -> None:
    assert record.read(written.parent) == record.read(written)


def test_writing_leaves_nothing_beside_the_record(written: Path) -> None:
    assert [file.name for file in written.parent.iterdir()] == ["run.json"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"nothing.json: No such file"):
        record.read(tmp_path / "nothing.json")


def test_another_schema_is_refused_before_anything_else(written: Path) -> None:
    with pytest.raises(Unreadable, match="schema 99, this version reads 1"):
        record.parsed(changed(written, schema=99, seconds="long"))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"schema"'])
def test_what_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(Unreadable):
        record.parsed(text)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"surprise": 1}, "surprise: Unexpected"),
        ({"seconds": -1.0}, "seconds: "),
        ({"seconds": "3"}, "seconds: "),
        ({"generator": None}, "generator: "),
        ({"series": [{"second": 0}]}, r"series\.0\."),
        ({"marks": [{"second": -3.0, "name": "x"}]}, r"marks\.0\.second: "),
    ],
)
def test_a_mistake_is_named_with_its_place(written: Path, fields: dict[str, Any], place: str) -> None:
    with pytest.raises(Unreadable, match=place):
        record.parsed(changed(written, **fields))


def test_a_damaged_distribution_is_named() -> None:
    with pytest.raises(Unreadable, match="first_byte of 'head'"):
        Distribution(Measure.FIRST_BYTE, "head", "HISTF").histogram()


def test_the_whole_is_all_kinds_together() -> None:
    run = sampled_run(seconds=2)
    per_kind = [one.histogram() for one in run.latencies.whole if one.measure is Measure.SERVICE]
    assert len(run.latencies.of(Measure.SERVICE)) == sum(len(one) for one in per_kind)


def conservation(*sums: Sum, unique: int = 10) -> Conservation:
    return Conservation(5, {Source.DISK: 5}, 15, 15, unique, sums)


def test_conservation_holds_when_every_sum_does() -> None:
    assert conservation(Sum("a", 5, 5), Sum("b", 9, 11, 2)).holds
    assert not conservation(Sum("a", 5, 5), Sum("b", 9, 12, 2)).holds


def test_amplification_is_what_the_origin_gave_for_each_byte_asked_for() -> None:
    assert conservation().amplification == 1.5
    assert conservation(unique=0).amplification is None
