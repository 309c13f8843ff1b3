"""A real Prometheus with the alerts and sums that are shipped, made quick, watching nodes that come and go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from bench.node import mortal
from tests.kit.judges import DEPLOY, environment, judge
from tests.kit.redis import free_port
from tests.kit.waiting import until

from .rules import STEP, quick

FILES: Final = ("alerts.yml", "recording.yml")
JOB: Final = "penstock"
STARTED_WITHIN: Final = 30.0


class Monitor:
    """Make it with `async with Monitor.open(folder) as monitor`; tell it whom to `watch`."""

    def __init__(self, folder: Path, url: str, session: aiohttp.ClientSession) -> None:
        self._targets = folder / "targets.json"
        self._url = url
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[Monitor]:
        """It answers; it watches nobody yet."""
        folder.mkdir(parents=True)
        place = f"127.0.0.1:{free_port()}"
        _write(folder)
        words = [judge("prometheus"), f"--config.file={folder}/prometheus.yml", f"--web.listen-address={place}"]
        words += [f"--storage.tsdb.path={folder}/series", "--log.level=warn"]
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*mortal(words), env=environment(), stdout=log, stderr=log)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
                monitor = cls(folder, f"http://{place}", session)
                await until(monitor._is_ready, f"Prometheus is ready (its log: {folder}/log)", STARTED_WITHIN)
                yield monitor
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def watch(self, addresses: Iterable[str]) -> None:
        """Read /metrics of these, and of no others, as HOST:PORT."""
        fresh = self._targets.with_suffix(".new")
        fresh.write_text(json.dumps([{"targets": list(addresses)}]))
        fresh.rename(self._targets)

    async def seen(self) -> frozenset[str]:
        """The nodes it has read at its last try."""
        found = await self._asked("query", query=f'up{{job="{JOB}"}} == 1')
        return frozenset(one["metric"]["instance"] for one in found["result"])

    async def alerts(self) -> dict[str, str]:
        """The alerts that are not silent now: `firing`, or about to (`pending`)."""
        found = await self._asked("alerts")
        states: dict[str, str] = {}
        for one in found["alerts"]:
            name = one["labels"]["alertname"]
            states[name] = one["state"] if states.get(name) != "firing" else "firing"
        return states

    async def _asked(self, what: str, **words: str) -> Any:
        async with self._session.get(f"{self._url}/api/v1/{what}", params=words) as answer:
            answer.raise_for_status()
            return (await answer.json())["data"]

    async def _is_ready(self) -> bool:
        try:
            async with self._session.get(f"{self._url}/-/ready") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def _write(folder: Path) -> None:
    """Its configuration, and the rules."""
    for name in FILES:
        document = yaml.safe_load((DEPLOY / "prometheus" / name).read_text())
        (folder / name).write_text(yaml.safe_dump(quick(document)))
    pace = {"scrape_interval": f"{STEP}s", "scrape_timeout": f"{STEP}s", "evaluation_interval": f"{STEP}s"}
    found = [{"files": [f"{folder}/targets.json"], "refresh_interval": "1s"}]
    jobs = [{"job_name": JOB, "file_sd_configs": found}]
    config = {"global": pace, "rule_files": [f"{folder}/{name}" for name in FILES], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
