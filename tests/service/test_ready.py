"""The ready file: whole, ours, and no reason to stop."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from proxy.config.schema import Address
from proxy.service.ready import Standing, ready_file

STANDING = Standing(Address(host="127.0.0.1", port=1), Address(host="::1", port=2), 3, (4, 5))


def test_it_is_there_exactly_while_the_node_serves(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text("left by a killed run")
    with ready_file(path) as file:
        assert not path.exists()
        file.write(STANDING)
        found = json.loads(path.read_bytes())
        assert found == {"data": "127.0.0.1:1", "admin": "[::1]:2", "pid": 3, "workers": [4, 5]}
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ready.json"
    path.mkdir()
    with caplog.at_level(logging.ERROR), ready_file(path) as file:
        file.write(STANDING)
        file.remove()
    assert "the ready file cannot be written" in caplog.text
    assert [child.name for child in tmp_path.iterdir()] == ["ready.json"]


def test_a_folder_that_went_away_stops_nothing(tmp_path: Path) -> None:
    with ready_file(tmp_path / "gone" / "ready.json") as file:
        file.write(STANDING)
        file.remove()
