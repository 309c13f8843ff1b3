"""`[[origin]]`: the one at the root, and any number beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.config.reference import reference
from proxy.config.reload import reloaded
from proxy.core.errors import ConfigError

TWO = """
[[origin]]
name = "pypi"
url = "https://pypi.org/"

[[origin]]
name = "data-2"
url = "http://data/base"
kind = "http"
read_timeout = "3s"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "penstock.toml"


def mistakes_of(file: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file=file, environment=environment or {})
    return caught.value.mistakes


def test_named_ones_stand_beside_the_hub(file: Path) -> None:
    file.write_text(TWO)
    config = load(file=file, environment={}).config
    assert (config.origin.kind, config.origin.url) == ("hub", "https://huggingface.co")
    assert [(one.name, one.url, one.read_timeout) for one in config.mounted] == [
        ("pypi", "https://pypi.org", 10.0),
        ("data-2", "http://data/base", 3.0),
    ]


def test_the_one_without_a_name_is_the_one_at_the_root(file: Path) -> None:
    file.write_text(TWO + '[[origin]]\nurl = "http://root"\nkind = "http"\n')
    config = load(file=file, environment={}).config
    assert (config.origin.kind, config.origin.url, len(config.mounted)) == ("http", "http://root", 2)


def test_every_value_knows_its_place_and_a_variable_wins(file: Path) -> None:
    file.write_text(TWO)
    found = load(file=file, environment={"PENSTOCK_ORIGIN__DATA_2__READ_TIMEOUT": "7s"})
    assert found.config.mounted[1].read_timeout == 7
    assert {name: place for name, place in found.origins.items() if name.count(".") == 2 and place != "default"} == {
        "origin.pypi.name": f"file {file}:3",
        "origin.pypi.url": f"file {file}:4",
        "origin.data-2.name": f"file {file}:7",
        "origin.data-2.url": f"file {file}:8",
        "origin.data-2.kind": f"file {file}:9",
        "origin.data-2.read_timeout": "env PENSTOCK_ORIGIN__DATA_2__READ_TIMEOUT",
    }


def test_variables_alone_mount_one_beside_a_table_of_the_file(file: Path) -> None:
    file.write_text('[origin]\nurl = "http://hub"\n')
    config = load(file=file, environment={"PENSTOCK_ORIGIN__PYPI__URL": "https://pypi.org"}).config
    assert config.origin.url == "http://hub"
    assert [(one.name, one.url) for one in config.mounted] == [("pypi", "https://pypi.org")]


NAMES = ["A", "a/b", "a.b", "-a", "a--b", "a_b", "ü", "x" * 41, ".."]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_would_be_read_in_two_ways_is_a_mistake(file: Path, name: str) -> None:
    (told,) = mistakes_of(file, f'[[origin]]\nname = "{name}"\nurl = "http://a"\n')
    assert told.startswith("origin[0].name = ")
    assert f"{file}:1" in told
    assert "lower-case letters" in told


WRONG: list[tuple[str, str, tuple[str, ...]]] = [
    (
        "an unknown key",
        '[[origin]]\nname = "a"\nurl = "http://a"\nread_timeut = "1s"\n',
        ("origin.a.read_timeut (file", ":4)", "did you mean origin.a.read_timeout?"),
    ),
    (
        "a key of the Hub's alone",
        '[[origin]]\nname = "a"\nurl = "http://a"\nxet = true\n',
        ("origin.a.xet (file", "no such key"),
    ),
    ("no address", '[[origin]]\nname = "a"\n', ("origin.a.url (file", ":2)", "required")),
    (
        "a wrong value",
        '[[origin]]\nname = "a"\nurl = "http://a"\nretries = 99\n',
        ("origin.a.retries = 99 (file", ":4)", "(the default is 4)"),
    ),
    ("a Hub", '[[origin]]\nname = "a"\nurl = "http://a"\nkind = "hub"\n', ("origin.a.kind = 'hub'", "'http'")),
    (
        "a name twice",
        '[[origin]]\nname = "a"\nurl = "http://a"\n[[origin]]\nname = "a"\nurl = "http://b"\n',
        ("origin[1] (file", ":4)", "called a already"),
    ),
    (
        "no name twice",
        '[[origin]]\nurl = "http://a"\n[[origin]]\nurl = "http://b"\n',
        ("origin[1] (file", ":3)", "the one at the root"),
    ),
    (
        "an address twice",
        '[[origin]]\nname = "a"\nurl = "http://a"\n[[origin]]\nname = "b"\nurl = "http://a/"\n',
        ("origin.b.url (file", ":6)", "mount each address once"),
    ),
    (
        "the root's address",
        '[[origin]]\nkind = "http"\nurl = "http://a"\n[[origin]]\nname = "b"\nurl = "http://a"\n',
        ("origin.b.url (file", "mount each address once"),
    ),
    (
        "a login",
        '[[origin]]\nname = "a"\nurl = "http://u:pa55word@a"\n',
        ("origin.a.url", "***@a"),
    ),
    (
        "a table and a list",
        '[origin]\nurl = "http://a"\n[[origin]]\nname = "b"\nurl = "http://b"\n',
        ("write [[origin]] for each",),
    ),
    ("no table", "origin = [3]\n", ("origin[0]",)),
    ("a name that is no text", '[[origin]]\nname = ["a"]\nurl = "http://a"\n', ("origin[0].name = ['a']", ":1)")),
    ("an empty name", '[[origin]]\nname = ""\nurl = "http://a"\n', ("origin.name (file", ":2)", "no such key")),
]


@pytest.mark.parametrize(("text", "parts"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_mistake_is_told_once_with_its_place(file: Path, text: str, parts: tuple[str, ...]) -> None:
    (told,) = mistakes_of(file, text)
    assert [part for part in parts if part not in told] == []
    assert "pa55word" not in told


def test_a_misspelt_variable_names_the_nearest(file: Path) -> None:
    (told,) = mistakes_of(file, TWO, {"PENSTOCK_ORIGIN__PYPI__URLS": "x"})
    assert "did you mean PENSTOCK_ORIGIN__PYPI__URL?" in told


def test_a_variable_gives_no_other_name(file: Path) -> None:
    (told,) = mistakes_of(file, TWO, {"PENSTOCK_ORIGIN__PYPI__NAME": "other"})
    assert "it is called pypi there" in told


def test_a_configuration_with_them_shown_can_be_read_back(file: Path) -> None:
    file.write_text(TWO)
    shown = load(file=file, environment={}).config
    file.write_text(reference(shown, comments=False))
    assert load(file=file, environment={}).config == shown


def test_a_reload_tells_that_they_need_a_restart(file: Path) -> None:
    before = load(environment={}).config
    file.write_text(TWO)
    found = reloaded(before, load(file=file, environment={}).config)
    assert found.taken == ()
    assert {"origin.pypi.url", "origin.data-2.url"} <= {change.name for change in found.waiting}
    assert found.config == before


@pytest.mark.parametrize("url", ["https://s3.example/b?X-Sign=1", "https://s3.example/b?", "https://s3.example/b#c"])
def test_the_base_of_an_origin_has_no_query(url: str) -> None:
    with pytest.raises(ConfigError) as told:
        load(environment={}, flags={"origin.url": ("--origin", url), "origin.kind": ("--origin-kind", "http")})
    assert "has a query or a fragment, which no base of an origin can have" in str(told.value)
