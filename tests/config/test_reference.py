"""The generated files."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from proxy.config.knobs import knobs
from proxy.config.load import load
from proxy.config.reference import reference
from proxy.config.reload import value_of

ROOT = Path(__file__).parents[2]


def test_the_committed_reference_is_what_the_schema_says() -> None:
    committed = (ROOT / "config" / "reference.toml").read_text(encoding="utf-8")
    assert committed == reference(), "stale: run make generated"


def test_the_reference_has_every_knob_with_its_reason() -> None:
    text = reference()
    assert all(f"#{knob.key} = " in text for knob in knobs().values())
    assert all(knob.description for knob in knobs().values())


def test_the_reference_as_it_is_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "reference.toml"
    path.write_text(reference())
    assert load(file=path, environment={}).config == load(environment={}).config


def test_the_reference_with_every_setting_uncommented_is_the_defaults(tmp_path: Path) -> None:
    lines = [line for line in reference().splitlines() if not line.startswith("# ") and "(not set)" not in line]
    path = tmp_path / "all.toml"
    path.write_text("\n".join(line.removeprefix("#") for line in lines))
    found, default = load(file=path, environment={}).config, load(environment={}).config
    assert found.model_dump(exclude={"store": {"disks"}}) == default.model_dump(exclude={"store": {"disks"}})


def test_a_configuration_shown_can_be_read_back(tmp_path: Path) -> None:
    shown = load(
        environment={},
        flags={"store.disks": ("--disk", ('/a "quoted"=1GiB', "/b")), "limits.send_timeout": ("--x", "1500ms")},
    ).config
    path = tmp_path / "shown.toml"
    path.write_text(reference(shown, comments=False))
    assert load(file=path, environment={}).config == shown


@pytest.mark.parametrize("name", ["single.toml", "cluster.toml"])
def test_the_samples_are_valid(name: str) -> None:
    sample = ROOT / "config" / name
    found = load(file=sample, environment={})
    for section, table in tomllib.loads(sample.read_text()).items():
        for key in table:
            assert found.origins[f"{section}.{key}"].startswith("file ")
            assert value_of(found.config, f"{section}.{key}") is not None
