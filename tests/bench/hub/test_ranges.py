import pytest

from bench.hub.ranges import Unsatisfiable, Wanted, lists_tag, wanted


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", Wanted(0, 1)),
        ("bytes=5-", Wanted(5, 10)),
        ("bytes=-3", Wanted(7, 10)),
        ("bytes=-30", Wanted(0, 10)),
        ("bytes=2-99", Wanted(2, 10)),
        ("bytes=3-2", None),
        ("bytes=0-1,4-5", None),
        ("bytes=-", None),
        ("lines=1-2", None),
        (None, None),
    ],
)
def test_ranges_of_ten_bytes(header: str | None, part: Wanted | None) -> None:
    assert wanted(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_ranges_beyond_the_end(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        wanted(header, 10)


def test_nothing_can_be_cut_from_an_empty_file() -> None:
    assert wanted("bytes=0-0", 0) is None


@pytest.mark.parametrize("header", ['"a"', 'W/"a"', '"b", "a"', "*", "a"])
def test_a_list_names_a_tag(header: str) -> None:
    assert lists_tag(header, '"a"')


@pytest.mark.parametrize("header", [None, '"b"', ""])
def test_a_list_does_not_name_a_tag(header: str | None) -> None:
    assert not lists_tag(header, '"a"')
