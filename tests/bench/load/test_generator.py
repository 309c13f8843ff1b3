"""What one process of load will do, before it does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import scenario
from bench.load import catalogue as catalogues
from bench.load.generator import Generator
from bench.load.orders import Order, Task
from bench.load.workload import Session

Planned = list[tuple[float, Session]]


async def planned(folder: Path, part: int = 0, parts: int = 1, **changes: Any) -> Planned:
    few = {"catalogue.popular": 5, "catalogue.releases": 2, "catalogue.once": 5}
    wanted = scenario.read(scenario.find("steady"), {"duration": 20, "load.rate": 5, **few, **changes})
    file = folder / "catalogue.json"
    catalogues.write(catalogues.drawn(wanted.catalogue.extent(), wanted.seed), file)
    order = Order(Task.LOAD, wanted, file, (("127.0.0.1", 1),), part, parts)
    return list(Generator(Order.from_line(order.to_line()), lambda line: None).by_the_clock())


async def test_the_same_seed_gives_the_same_sessions_at_the_same_times(tmp_path: Path) -> None:
    first, same, other = [await planned(tmp_path, seed=seed) for seed in (7, 7, 8)]
    assert first == same
    assert [at for at, _ in first] != [at for at, _ in other]
    assert len(first) > 50


@pytest.mark.parametrize("shape", ["poisson", "steady", "bursts", "diurnal"])
async def test_several_processes_bring_the_load_of_one(tmp_path: Path, shape: str) -> None:
    changes = {"load.shape": shape, "load.rate": 60}
    whole = await planned(tmp_path, **changes)
    parts = [await planned(tmp_path, part, 3, **changes) for part in range(3)]
    assert sum(map(len, parts)) == pytest.approx(len(whole), rel=0.15)
    assert all(at < 20 for part in parts for at, _ in part)
