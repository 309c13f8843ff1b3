"""Precedence, origins, and all mistakes at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.knobs import knobs
from proxy.config.load import load
from proxy.config.schema import Address
from proxy.config.sources import read_file
from proxy.core.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "penstock.toml"


def mistakes_of(**sources: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(**{"environment": {}, **sources})  # type: ignore[arg-type]
    return caught.value.mistakes


def test_without_any_source_everything_is_default() -> None:
    found = load(environment={})
    assert found.config.server.listen == Address(host="127.0.0.1", port=8080)
    assert set(found.origins) == set(knobs())
    assert set(found.origins.values()) == {"default"}


def test_environment_wins_over_file_and_flag_over_both(file: Path) -> None:
    file.write_text('[server]\nworkers = 2\nlisten = "127.0.0.1:1"\nadmin = "127.0.0.1:2"\n')
    found = load(
        file=file,
        environment={"PENSTOCK_SERVER__WORKERS": "3", "PENSTOCK_SERVER__LISTEN": "127.0.0.1:3"},
        flags={"server.workers": ("--workers", "4")},
    )
    assert (found.config.server.workers, found.config.server.listen.port, found.config.server.admin.port) == (4, 3, 2)


def test_every_value_knows_where_it_came_from(file: Path) -> None:
    file.write_text('# a comment\n[server]\nworkers = 2\n\n[log]\nlevel = "debug"\n')
    found = load(
        file=file,
        environment={"PENSTOCK_ORIGIN__URL": "http://hub"},
        flags={"server.listen": ("--listen", "127.0.0.1:0")},
    )
    assert found.origins["server.workers"] == f"file {file}:3"
    assert found.origins["log.level"] == f"file {file}:6"
    assert found.origins["origin.url"] == "env PENSTOCK_ORIGIN__URL"
    assert found.origins["server.listen"] == "flag --listen"
    assert found.origins["fetch.span"] == "default"


def test_all_mistakes_of_all_sources_are_told_at_once(file: Path) -> None:
    file.write_text('[server]\nlistn = "127.0.0.1:1"\n[fetch]\nspan = "lots"\n')
    told = mistakes_of(
        file=file,
        environment={"PENSTOCK_LOG__LEVEL": "loud"},
        flags={"server.workers": ("--workers", "0")},
    )
    assert len(told) == 4
    assert any(
        "server.listn" in line and f"{file}:2" in line and "did you mean server.listen?" in line for line in told
    )
    assert any("fetch.span = 'lots'" in line and f"{file}:4" in line and "500GiB" in line for line in told)
    assert any("PENSTOCK_LOG__LEVEL" in line and "'debug'" in line for line in told)
    assert any("flag --workers" in line and "greater than or equal to 1" in line for line in told)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("PENSTOCK_SERVER__LISTN", "PENSTOCK_SERVER__LISTEN"),
        ("PENSTOCK_WORKERS", "PENSTOCK_SERVER__WORKERS"),
        ("PENSTOCK_SERVER_WORKERS", "PENSTOCK_SERVER__WORKERS"),
        ("PENSTOCK_STORE__DISK", "PENSTOCK_STORE__DISKS"),
        ("PENSTOCK_CACHE__DISKS", "PENSTOCK_STORE__DISKS"),
    ],
)
def test_an_unknown_variable_is_a_mistake_that_names_the_nearest(wrong: str, right: str) -> None:
    (told,) = mistakes_of(environment={wrong: "1"})
    assert told.startswith(f"{wrong} ")
    assert f"did you mean {right}?" in told


@pytest.mark.parametrize("variable", ["PENSTOCK_QQQQ__ZZZZ", "PENSTOCK_SERVER__FOO", "PENSTOCK_LIMITS__ZZZ"])
def test_a_name_like_nothing_gets_no_guess(variable: str) -> None:
    (told,) = mistakes_of(environment={variable: "1"})
    assert "did you mean" not in told


def test_variables_that_kubernetes_makes_for_a_service_called_penstock_are_no_mistakes() -> None:
    load(
        environment={
            "PENSTOCK_SERVICE_HOST": "10.0.0.1",
            "PENSTOCK_SERVICE_PORT": "8080",
            "PENSTOCK_SERVICE_PORT_HTTP": "8080",
            "PENSTOCK_PORT": "tcp://10.0.0.1:8080",
            "PENSTOCK_PORT_8080_TCP": "tcp://10.0.0.1:8080",
            "PENSTOCK_PORT_8080_TCP_ADDR": "10.0.0.1",
            "PENSTOCK_ADMIN_SERVICE_PORT": "8081",
        }
    )


def test_disks_from_variable_flag_and_file_are_the_same(file: Path) -> None:
    file.write_text('[store]\ndisks = ["/a=1GiB", "/b"]\n')
    from_file = load(file=file, environment={})
    from_variable = load(environment={"PENSTOCK_STORE__DISKS": "/a=1GiB, /b"})
    from_flag = load(environment={}, flags={"store.disks": ("--disk", ("/a=1GiB", "/b"))})
    assert from_file.config == from_variable.config == from_flag.config
    assert [str(disk.path) for disk in from_file.config.store.disks] == ["/a", "/b"]
    assert [disk.size for disk in from_file.config.store.disks] == [1 << 30, None]


def test_disks_as_tables(file: Path) -> None:
    file.write_text('[[store.disks]]\npath = "/a"\nsize = "1GiB"\n[[store.disks]]\npath = "/b"\n')
    assert [str(disk.path) for disk in load(file=file, environment={}).config.store.disks] == ["/a", "/b"]


def test_a_wrong_item_of_a_list_is_told_once_with_its_place() -> None:
    (told,) = mistakes_of(flags={"store.disks": ("--disk", ("/a=big",))})
    assert told.startswith("store.disks[0].size")


def test_an_empty_variable_unsets_what_may_be_unset(file: Path) -> None:
    file.write_text('[server]\nexternal_url = "http://mirror"\n')
    found = load(file=file, environment={"PENSTOCK_SERVER__EXTERNAL_URL": ""})
    assert found.config.server.external_url is None


def test_the_file_may_be_named_by_a_variable(file: Path) -> None:
    file.write_text("[server]\nworkers = 7\n")
    assert load(environment={"PENSTOCK_CONFIG": str(file)}).config.server.workers == 7


def test_a_missing_file_teaches_how_to_write_one(tmp_path: Path) -> None:
    (told,) = mistakes_of(file=tmp_path / "none.toml")
    assert "penstock config init" in told


def test_a_file_that_is_no_toml_is_told_with_its_line(file: Path) -> None:
    file.write_text("[server]\nworkers = \n")
    (told,) = mistakes_of(file=file)
    assert str(file) in told
    assert "line 2" in told


def test_a_key_outside_its_section_names_the_section(file: Path) -> None:
    file.write_text('listen = "127.0.0.1:1"\n')
    (told,) = mistakes_of(file=file)
    assert "did you mean server.listen?" in told


def test_clients_and_admin_never_share_a_port() -> None:
    (told,) = mistakes_of(
        flags={"server.listen": ("--listen", "127.0.0.1:9"), "server.admin": ("--admin", "127.0.0.1:9")}
    )
    assert "flag --listen, flag --admin" in told


@pytest.mark.parametrize(
    ("listen", "admin"),
    [("0.0.0.0:8080", "127.0.0.1:8080"), ("10.0.0.1:8080", "0.0.0.0:8080"), ("[::]:8080", "[::1]:8080")],
)
def test_nor_where_one_of_them_listens_on_every_address(listen: str, admin: str) -> None:
    flags = {"server.listen": ("--listen", listen), "server.admin": ("--admin", admin)}
    token = {"admin.token_file": ("--admin-token-file", "/run/token")}
    (told,) = mistakes_of(flags=flags | token)
    assert f"{listen} and {admin}; clients and the admin API never share a port" in told


def test_two_addresses_of_this_machine_may_have_one_port() -> None:
    flags = {"server.listen": ("--listen", "10.0.0.1:8080"), "server.admin": ("--admin", "127.0.0.1:8080")}
    assert load(environment={}, flags=flags).config.server.admin.port == 8080


@pytest.mark.parametrize("port", ["99999", "abc", "0"])
def test_an_origin_at_a_port_that_none_can_be_is_a_mistake(port: str) -> None:
    (told,) = mistakes_of(flags={"origin.url": ("--origin", f"http://hub:{port}")})
    assert "is not an http(s) address" in told


@pytest.mark.parametrize(("key", "value"), [("rotate_at", "-5"), ("scrub_every", "-1.5")])
def test_what_may_be_off_is_not_less_than_nothing(file: Path, key: str, value: str) -> None:
    section = "log" if key == "rotate_at" else "store"
    file.write_text(f"[{section}]\n{key} = {value}\n")
    (told,) = mistakes_of(file=file)
    assert "cannot be less than 0; write off for none" in told


def test_a_log_that_would_be_put_aside_with_every_line_is_a_mistake() -> None:
    (told,) = mistakes_of(environment={"PENSTOCK_LOG__ROTATE_AT": "0"})
    assert "write it like 100MiB, or off" in told


def test_the_admin_port_is_not_opened_to_a_network_without_a_token() -> None:
    (told,) = mistakes_of(flags={"server.admin": ("--admin", "[::]:8081")})
    assert "flag --admin" in told
    assert "admin.token_file" in told


def test_a_disk_named_twice_is_a_mistake() -> None:
    (told,) = mistakes_of(flags={"store.disks": ("--disk", ("/a", "/a=1GiB"))})
    assert "/a is named twice" in told


@pytest.mark.parametrize("disk", ["=5GB", "/a=0", "/a=", ""])
def test_a_disk_without_a_folder_or_without_room_is_a_mistake(disk: str) -> None:
    (told,) = mistakes_of(flags={"store.disks": ("--disk", ("/b", disk))})
    assert told.startswith("store.disks[1]")
    assert f"= {disk!r} (flag --disk)" in told


def test_an_address_that_is_a_number_is_told_how_to_write_one(file: Path) -> None:
    file.write_text("[server]\nlisten = 80\n")
    (told,) = mistakes_of(file=file)
    assert "'80' is not host:port; write it like 127.0.0.1:8080" in told


def test_a_certificate_without_its_key_is_a_mistake() -> None:
    (told,) = mistakes_of(flags={"server.tls_key": ("--tls-key", "/k.pem")})
    assert told.startswith("server (flag --tls-key)")


def test_a_size_of_the_wrong_kind_is_a_mistake_and_no_crash(file: Path) -> None:
    file.write_text("[fetch]\nspan = [1]\nparallel = 2\n[log]\nlevel = 3\n[limits]\nheader_timeout = true\n")
    assert len(mistakes_of(file=file)) == 3


@given(st.dictionaries(st.sampled_from([knob.variable for knob in knobs().values()]), st.text(max_size=20), max_size=6))
def test_any_text_in_a_variable_is_taken_or_refused_as_a_mistake_that_names_it(environment: dict[str, str]) -> None:
    try:
        places = set(load(environment=environment).origins.values())
        mistakes = []
    except ConfigError as error:
        places, mistakes = set(), error.mistakes
    if mistakes:
        assert all(any(variable in line for variable in environment) for line in mistakes)
    else:
        assert places - {"default"} == {f"env {variable}" for variable in environment}


@given(st.text(max_size=200))
def test_any_text_in_a_file_is_taken_or_refused(text: str) -> None:
    path = Path("/dev/shm") / f"penstock-any-text-{os.getpid()}.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        read_file(path)
    finally:
        path.unlink()


@pytest.mark.parametrize(
    "variable", ["PENSTOCK_ORIGIN__URL", "PENSTOCK_SERVER__EXTERNAL_URL", "PENSTOCK_CLUSTER__REDIS"]
)
def test_a_login_in_an_address_is_told_of_and_not_told(variable: str) -> None:
    """Standard error goes into logs."""
    told = "\n".join(mistakes_of(environment={variable: "http://user:pa55word@host/"}))
    assert "***@host" in told
    assert "pa55word" not in told
