"""The command as a person meets it: words, exit codes, what goes where."""

from __future__ import annotations

import json
import re
import socket
import tomllib
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

import proxy
from proxy.cli.main import main
from tests.kit.command import Done, penstock_now

ROOT = Path(__file__).parents[2]


def penstock(*words: str, **variables: str) -> Done:
    return penstock_now(*words, COLUMNS="100", **variables)


@cache
def help_of(*words: str) -> str:
    """What `penstock WORDS --help` prints, in this process: there are many."""
    done = CliRunner().invoke(main, [*words, "--help"], env={"COLUMNS": "100"})
    assert done.exit_code == 0, (words, done.output)
    assert done.stderr == ""
    return done.stdout


HELPS = [
    (),
    *(("serve",), ("check",), ("config", "show"), ("config", "init"), ("version",)),
    *(("cluster", "status"), ("cluster", "drain"), ("cluster", "placement")),
    *(("pin",), ("unpin",), ("pins",), ("rm",), ("purge",), ("prune",)),
    *(("config", "reload"), ("drain",), ("completion",)),
    *(("explain",), ("log",)),
    *(("verify",), ("scrub",), ("export",), ("import",)),
    *(("warm",), ("jobs", "follow"), ("jobs", "cancel"), ("ls",), ("du",), ("info",), ("stats",), ("top",)),
]


@pytest.mark.parametrize("words", HELPS)
def test_help_begins_with_a_purpose_and_examples(words: tuple[str, ...]) -> None:
    text = help_of(*words)
    usage, purpose, *_ = (part.strip() for part in text.split("\n\n"))
    assert usage.startswith("Usage: ")
    assert purpose.endswith(".")
    assert text.index("Examples:") < text.index("Options:")


def test_help_comes_on_standard_output_alone() -> None:
    done = penstock("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: penstock")


def test_every_command_an_example_shows_exists_and_takes_its_flags() -> None:
    shown = set()
    for words in (*HELPS, ("config",), ("cluster",), ("jobs",)):
        shown |= set(re.findall(r"^ +(?:\w+=\S+ )?penstock ([a-z][^\n]*)$", help_of(*words), re.MULTILINE))
    assert len(shown) > 8
    for line in shown:
        command = re.split(r"\s{2,}|[|&]", line)[0].split()
        flags = [word for word in command if word.startswith("--")]
        verbs = [word for word in command if re.fullmatch(r"[a-z]+", word)][:2]
        verbs = verbs if verbs[0] in ("config", "cluster", "jobs") else verbs[:1]
        assert all(flag in help_of(*verbs) for flag in flags), line


def test_every_flag_of_serve_names_its_variable_and_default() -> None:
    text = re.sub(r"\s+", "", help_of("serve"))
    assert "[default:127.0.0.1:8080]" in text
    assert "[env:PENSTOCK_SERVER__LISTEN]" in text
    assert "[env:PENSTOCK_STORE__DISKS]" in text


def test_a_wrong_flag_is_a_usage_error_that_names_the_right_one() -> None:
    done = penstock("serve", "--wokers", "2")
    assert done.returncode == 2
    assert "--workers" in done.stderr
    assert done.stdout == ""


def test_all_mistakes_are_told_at_once_with_the_next_command() -> None:
    done = penstock("serve", "--workers", "many", "--listen", "8080", PENSTOCK_LOG__LEVEL="loud")
    assert done.returncode == 2
    assert "3 mistakes" in done.stderr
    assert "flag --workers" in done.stderr
    assert "flag --listen" in done.stderr
    assert "env PENSTOCK_LOG__LEVEL" in done.stderr
    assert "try:" in done.stderr
    assert done.stdout == ""


def test_check_tells_right_from_wrong_by_its_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text(f'[store]\ndisks = ["{tmp_path}/disk"]\n')
    assert penstock("check", "--config", str(file)).returncode == 0
    file.write_text('[store]\ndisk = "/x"\n[serve]\nworkers = 1\n')
    done = penstock("check", "--config", str(file))
    assert done.returncode == 1
    assert "did you mean store.disks?" in done.stderr
    assert "did you mean server.workers?" in done.stderr


def test_check_makes_nothing(tmp_path: Path) -> None:
    assert penstock("check", "--disk", f"{tmp_path}/new/disk").returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_missing_certificate_is_told_before_anything_starts(tmp_path: Path) -> None:
    done = penstock("serve", "--tls-certificate", f"{tmp_path}/c.pem", "--tls-key", f"{tmp_path}/k.pem")
    assert done.returncode == 1
    assert f"--tls-certificate {tmp_path}/c.pem: there is no such file" in done.stderr


def test_a_disk_that_is_a_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "disk").write_text("")
    done = penstock("serve", "--disk", f"{tmp_path}/disk")
    assert done.returncode == 1
    assert "is a file, not a folder" in done.stderr


def test_a_disk_on_a_read_only_place_is_told_before_anything_starts() -> None:
    done = penstock("serve", "--disk", "/proc/penstock")
    assert done.returncode == 1
    assert "/proc/penstock" in done.stderr
    assert "Traceback" not in done.stderr


def test_config_show_says_where_each_value_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text("[server]\nworkers = 3\n")
    done = penstock("config", "show", "--origin", "--config", str(file), PENSTOCK_LOG__LEVEL="debug")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows["server.workers"].rstrip().endswith(f"file {file}:2")
    assert rows["log.level"].rstrip().endswith("env PENSTOCK_LOG__LEVEL")
    assert rows["fetch.span"].rstrip().endswith("default")


def test_config_show_is_a_file_that_can_be_used() -> None:
    done = penstock("config", "show", PENSTOCK_SERVER__WORKERS="3")
    assert tomllib.loads(done.stdout)["server"]["workers"] == 3
    assert done.stderr == ""


def test_config_show_as_json_has_values_and_origins() -> None:
    plain = json.loads(penstock("config", "show", "--json", PENSTOCK_SERVER__WORKERS="3").stdout)
    assert plain["server"]["workers"] == 3
    full = json.loads(penstock("config", "show", "--json", "--origin", PENSTOCK_SERVER__WORKERS="3").stdout)
    assert full["server"]["workers"] == {"value": 3, "origin": "env PENSTOCK_SERVER__WORKERS"}


def test_config_init_writes_a_file_that_check_takes_and_never_overwrites_one(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    assert penstock("config", "init", str(file)).returncode == 0
    assert penstock("check", "--config", str(file)).returncode == 0
    file.write_text("# mine\n")
    done = penstock("config", "init", str(file))
    assert done.returncode == 5
    assert file.read_text() == "# mine\n"


def test_config_init_without_a_path_prints(tmp_path: Path) -> None:
    done = penstock("config", "init")
    assert "[server]" in done.stdout
    assert done.stderr == ""


def test_version_is_the_packages_own() -> None:
    assert penstock("version").stdout == f"penstock {proxy.__version__}\n"
    document = json.loads(penstock("version", "--json").stdout)
    assert document["penstock"] == proxy.__version__
    assert document["libraries"]["aiohttp"]
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == proxy.__version__


def test_no_color_and_no_terminal_mean_no_escapes() -> None:
    done = penstock("serve", "--workers", "x", NO_COLOR="1")
    assert "\x1b" not in done.stdout + done.stderr


def test_a_node_that_does_not_answer_is_unhealthy_and_the_next_command_is_named() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        done = penstock("cluster", "status", "--admin", f"127.0.0.1:{nobody.getsockname()[1]}")
    assert done.returncode == 4
    assert "no node answers at 127.0.0.1" in done.stderr
    assert "/-/readyz" in done.stderr
    assert done.stdout == ""


def test_what_is_no_key_is_a_usage_error() -> None:
    done = penstock("cluster", "placement", "model.safetensors")
    assert done.returncode == 2
    assert "sha256: and 64 hexadecimal digits" in done.stderr
