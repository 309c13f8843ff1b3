"""One scenario: a synthetic Hub, nodes in front of it, clients, and the judge at the end.

    async def test_second_reader_costs_the_origin_nothing(stage: Stage) -> None:
        file = stage.blob("acme/tiny", "model.safetensors", 8 * MIB)
        node = await stage.node()
        first, second = await stage.read(node, file), await stage.read(node, file)
        assert first.complete and second.complete

Leaving the stage takes the evidence and raises AssertionError with every complaint of every oracle.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bench.hub.messages import Plane
from bench.hub.repo import Repo
from bench.hub.server import SyntheticHub
from bench.hub.world import World
from proxy.core.sizes import parse_size
from proxy.core.tasks import TaskSet

from . import canaries
from .asking import Answer, ask
from .clients import DRIVER, DRIVERS, Client, Outcome
from .evidence import Bounds, Evidence, HubAccount, Received, Run, Wants
from .files import Expected, expected
from .fsck import complaints_of
from .node import STOP_WITHIN, Address, Node, NodeDidNotStart, NodePlan
from .oracles import judged, leaks
from .procfs import Snapshot, is_running, snapshot
from .reader import Asked, Ending, Reader, Reading
from .scrape import Page
from .tally import TalliedFaults
from .waiting import NotInTime, until

QUIET_WITHIN = 15.0
QUIET_FOR = 0.15
"""Seconds without a new question to the origin that count as quiet."""
BOOT_OFFSET = 2048
"""Where a map keeps the id of the boot that wrote it; see docs/disk-format.md."""
_COLD_THREADS = 16


class Stage:
    """What a scenario holds in its hands. Make it with `async with Stage.open(folder) as stage`."""

    def __init__(self, folder: Path, hub: SyntheticHub, faults: TalliedFaults, tasks: TaskSet) -> None:
        self.folder = folder
        self.hub = hub
        self.faults = faults
        self.tasks = tasks
        self.nodes: list[Node] = []
        self.readings: list[Reading] = []
        self.bounds = Bounds(span=0, parallel=0, threads=0)
        self._received: list[Received] = []
        self._wants = Wants()
        self._runs: list[Run] = []
        self._resting: dict[Node, dict[int, Snapshot]] = {}
        self._kept_secret_from: list[Path] = []
        self._late: list[str] = []
        self._hub_was_off = False
        self.hushed: list[Callable[[], None]] = []
        """Called before a node is looked at in its rest: to end connections that others keep in reserve."""
        self.last_looks: list[Callable[[], Awaitable[list[str]]]] = []
        """Each says what is still held, when everybody has read and before any node is stopped."""
        self.props = AsyncExitStack()
        """What else stands on the stage, and is taken away after the nodes."""
        self._evidence: Evidence | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, *, judge: bool = True, xet: bool = True) -> AsyncIterator[Stage]:
        """A stage with a Hub that holds nothing yet. Raises AssertionError at the end if an oracle complains."""
        faults = TalliedFaults()
        async with SyntheticHub.open(World(), faults, xet=xet) as hub, TaskSet("stage") as tasks:
            stage = cls(folder, hub, faults, tasks)
            try:
                yield stage
                if judge:
                    await stage.verdict(raising=True)
            finally:
                await stage._end()
                await stage.props.aclose()

    # -- arranging ------------------------------------------------------------------------------------------------

    @property
    def world(self) -> World:
        return self.hub.world

    def blob(self, repo_id: str, path: str, size: int, **traits: Any) -> Expected:
        """A model with one large file (added to the repo if there is one), committed to `main`."""
        repo = self.repo(repo_id)
        repo.put_blob(path, size, **traits)
        repo.commit(f"Add {path}")
        return expected(repo, path)

    def file(self, repo_id: str, path: str) -> Expected:
        """A file as it is on `main` now. Raises KeyError."""
        return expected(self.world.repo(repo_id), path)

    def repo(self, repo_id: str) -> Repo:
        with suppress(KeyError):
            return self.world.repo(repo_id)
        return self.world.add_model(repo_id)

    def user(self, name: str) -> str:
        """A user of the Hub; returns the (canary) token."""
        return self.world.add_user(name, token=canaries.token(name)).token

    async def node(
        self,
        *,
        workers: int = 1,
        disks: int | Iterable[str] = 1,
        disk_size: str = "1GiB",
        command: tuple[str, ...] | None = None,
        wrapper: tuple[str, ...] = (),
        may_die: bool = False,
        at: Address | None = None,
        **settings: Any,
    ) -> Node:
        """A running node (or, if it `may_die`, one that died at its start). `settings` are knobs with `__` for the dot;
        `disks` a number, or DIR=SIZE texts; `at` is where it listens, if that must be known before."""
        folder = self.folder / f"node-{len(self.nodes)}"
        folder.mkdir()
        given = {name.replace("__", "."): value for name, value in settings.items()}
        places = (
            tuple(f"{folder}/disk-{number}={disk_size}" for number in range(disks))
            if isinstance(disks, int)
            else tuple(disks)
        )
        stores = tuple(urlsplit(url).netloc for url in (self.hub.cdn_url, self.hub.cas_url))
        plan = NodePlan(folder, self.hub.url, stores, places, workers, given, wrapper=wrapper)
        node = Node(plan if command is None else replace(plan, command=command))
        node.data = at or node.data
        self.nodes.append(node)
        self._set_bounds(plan)
        try:
            await self.start(node)
        except (NodeDidNotStart, FileNotFoundError):
            if not may_die:
                raise
        return node

    async def start(self, node: Node, **settings: Any) -> None:
        """Start a node (again) and note what it is like at rest."""
        await node.start(**settings)
        self._resting[node] = {pid: snapshot(pid, node.ports) for pid in node.workers}

    async def renew(self, node: Node) -> tuple[int, ...]:
        """Let another program take the place of the running one; returns the workers of the former one."""
        before = await node.renew()
        self._resting[node] = {pid: snapshot(pid, node.ports) for pid in node.workers if pid not in before}
        return before

    def allow_origin(self, extra: int | None) -> None:
        """This story makes `extra` bytes be fetched again (None: any number). Say why beside the call."""
        self.bounds = replace(self.bounds, extra_origin=extra)

    def others_ask(self) -> None:
        """Not only our readers ask the node: their sums need not be all there is."""
        self.bounds = replace(self.bounds, only_readers=False)

    def expect_origin_exact(self) -> None:
        """Origin bytes are 1.00 × what was wanted, not a byte more."""
        self.bounds = replace(self.bounds, exact_origin=True)

    # -- acting ---------------------------------------------------------------------------------------------------

    async def read(self, node: Node, file: Expected, **asked: Any) -> Reading:
        """Read (part of) a file to its end; see `reader.Asked` for the words."""
        return await self.reader(node).read(*self._noted(Asked(file, **asked)))

    def reading(self, node: Node, file: Expected, **asked: Any) -> Reading:
        """As `read`, under way: await its progress with `until_received`, its end with `ended`."""
        want, reading = self._noted(Asked(file, **asked))
        self.tasks.start(self.reader(node).read(want, reading), f"read {file.path}")
        return reading

    async def ended(self, *readings: Reading, within: float = 60.0) -> None:
        def under_way() -> list[str]:
            return [str(reading) for reading in readings if not reading.has_ended]

        await until(lambda: not under_way(), f"the end of {len(readings)} readings", within)

    def reader(self, node: Node) -> Reader:
        return Reader(node.url)

    async def client(self, version: str, node: Node, calls: list[dict[str, Any]], **how: Any) -> list[Outcome]:
        """Let the real huggingface_hub of that version make these calls; see `clients.Client`."""
        client = how.pop("client", None) or self.fresh_client(version, node, **how)
        outcomes = await client.run(calls)
        self.others_ask()
        self._kept_secret_from.append(client.transcript)
        return outcomes

    def fresh_client(self, version: str, node: Node, *, token: str | None = None) -> Client:
        """A client with an empty cache of its own."""
        home = self.folder / f"client-{len(list(self.folder.glob('client-*')))}"
        home.mkdir()
        return Client(version, node.url, home, token, DRIVERS.get(version, DRIVER))

    async def command(self, client: Client, *words: str) -> str:
        """Run the `hf` command; all it said. Raises AssertionError when it failed."""
        self.others_ask()
        code, said = await client.command(*words)
        assert code == 0, f"hf {' '.join(words)} ended with {code}:\n{said}"
        return said

    async def ask(self, node: Node, target: str, *, method: str = "GET", token: str = "", **fields: str) -> Answer:
        """One plain request, answered whole, redirects not followed; fields with `_` for the dash."""
        self.others_ask()
        headers = {name.replace("_", "-"): text for name, text in fields.items()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return await ask(node.url, method, target, headers)

    def got_all(self, repo: Repo, outcome: Outcome, revision: str = "main") -> set[str]:
        """The outcome is a snapshot: each file is compared; returns their paths."""
        files = outcome.value["files"]
        for path, found in files.items():
            self.got(expected(repo, path, revision), replace(outcome, ok=found))
        return set(files)

    def got(self, file: Expected, outcome: Outcome) -> Expected:
        """The outcome says that a client has `file`: the oracles compare. Raises AssertionError when it is an error."""
        value = outcome.value
        self._received.append(Received(file.path, value["sha256"], value["size"], file.sha256, file.size))
        self.wants(file)
        return file

    def wants(self, file: Expected, span: tuple[int, int] | None = None) -> None:
        """Somebody wants (part of) a file: the origin may send it once."""
        self._wants.add(f"{file.blob.identity}", file.size, span or (0, file.size))

    async def hub_off(self, *planes: Plane) -> None:
        self._hub_was_off = True
        await self.hub.off(*planes)

    async def kill_worker(self, node: Node, pid: int | None = None) -> int:
        """Kill -9 a worker (the first); what it had in flight may be fetched again."""
        self.bounds = replace(self.bounds, kills=self.bounds.kills + 1)
        return await node.kill_worker(pid)

    async def kill(self, node: Node) -> None:
        """Kill -9 the whole node; what was in flight may be fetched again."""
        self.bounds = replace(self.bounds, kills=self.bounds.kills + node.plan.workers)
        await self._close_run(node, kill=True)

    async def stop(self, node: Node) -> int | None:
        """SIGTERM once it is quiet, and keep its account."""
        return (await self._close_run(node, kill=False)).exit_code

    async def restart(self, node: Node) -> None:
        """SIGTERM however busy it is, and start it again; of what it counted nobody hears."""
        self._account(node, {}, None, await self._stopped(node), killed=False)
        await self.start(node)

    async def quiet(self, node: Node) -> None:
        """Returns when no request and no fill is under way, and none has begun for a while. Raises NotInTime.

        One look is not enough: between two spans of a download there is a moment with none under way."""
        known: list[tuple[float, float]] = []

        async def nothing_under_way() -> bool:
            if known:
                await asyncio.sleep(QUIET_FOR)
            page = await node.metrics()
            known.append((page.total("upstream_requests_total"), page.total("upstream_bytes_total")))
            busy = page.total("requests_in_flight") or page.total("fills_in_progress")
            return not busy and known[-2:] == [known[-1]] * 2

        await until(nothing_under_way, "nothing is under way", QUIET_WITHIN)

    def forgive(self, reading: Reading) -> None:
        """Wrong bytes in an answer that did not end cleanly, which a client throws away; or in a range that says of
        itself that nobody has proven it yet."""
        unproven = reading.status == 206 and "detail=unverified" in reading.headers.get("Cache-Status", "")
        assert reading.ending is Ending.BROKEN or unproven, f"neither broken nor called unverified: {reading}"
        reading.faults.clear()

    def flip_on_disk(self, node: Node, file: Expected, *, at: int) -> None:
        """Turn one bit of a stored file."""
        assert not node.running, "the node is stopped"
        for disk in node.plan.disk_folders:
            for path in disk.glob(f"blobs/*/sha256-{file.sha256}/bytes"):
                with path.open("r+b") as stored:
                    stored.seek(at)
                    byte = stored.read(1)
                    stored.seek(at)
                    stored.write(bytes([byte[0] ^ 1]))

    def pretend_another_boot(self, node: Node) -> None:
        """Let every map say that it was last open before the machine was started anew."""
        assert not node.running, "the node is stopped"
        for disk in node.plan.disk_folders:
            for path in disk.glob("blobs/*/*/map"):
                with path.open("r+b") as chunk_map:
                    chunk_map.seek(BOOT_OFFSET)
                    chunk_map.write(bytes(16))

    # -- judging --------------------------------------------------------------------------------------------------

    async def verdict(self, *, raising: bool = False) -> Mapping[str, list[str]]:
        """What the oracles say, after every node has been stopped. Raises AssertionError if asked to."""
        complaints = judged(await self.evidence())
        if complaints and raising:
            lines = [f"{name}: {what}" for name, found in complaints.items() for what in found[:8]]
            raise AssertionError("\n  ".join(["the oracles complain:", *lines]))
        return complaints

    async def evidence(self) -> Evidence:
        """Stop what runs and collect; the second time the same."""
        if self._evidence is None:
            await self.tasks.aclose()
            left = [line for look in self.last_looks for line in await look()]
            await self._close_all([node for node in self.nodes if node in self._resting])
            fsck = [line for node in self.nodes for line in await complaints_of(node.plan)]
            self._evidence = self._collected(fsck, left)
        return self._evidence

    def _collected(self, fsck: list[str], left: list[str]) -> Evidence:
        counters, folders = self.hub.counters, [node.plan.folder for node in self.nodes]
        return Evidence(
            readings=tuple(self.readings),
            received=tuple(self._received),
            wanted=self._wants.value(),
            hub=HubAccount(
                {str(kind): count for kind, count in counters.requests.items()},
                {str(kind): count for kind, count in counters.bytes.items()},
                self.faults.strikes,
                self._hub_was_off,
            ),
            runs=tuple(self._runs),
            bounds=self.bounds,
            fsck=tuple(fsck),
            canaries=(
                *canaries.in_files([*folders, *self._kept_secret_from]),
                *canaries.in_requests(self.hub.log),
                *(
                    f"/metrics of run {run.number}"
                    for run in self._runs
                    if run.page and canaries.CANARY in run.page.text
                ),
            ),
            late=tuple(self._late),
            left=tuple(left),
        )

    async def _close_all(self, nodes: list[Node]) -> None:
        """End the runs of all nodes. A node that is left alone for a moment may ask another, which logs that: so all
        are quiet before the page of any is read, and all pages are read before any is stopped, all at once:

            1. A is quiet, its page is read   2. B asks A   3. A is stopped: a line in its log, and not on its page
        """
        snapshots = {node: await self._quiet_snapshots(node, self._resting[node]) for node in nodes if node.running}
        pages = {node: await self._page_of(node) for node in snapshots if node.running}
        codes = await asyncio.gather(*(self._stopped(node) for node in nodes))
        for node, code in zip(nodes, codes, strict=True):
            self._account(node, snapshots.get(node, {}), pages.get(node), code, killed=False)

    async def _close_run(self, node: Node, *, kill: bool) -> Run:
        """End the present run of a node and keep its account."""
        page, quiet, code = None, {}, None
        if kill:
            await node.kill()
        elif not node.running:
            code = await self._stopped(node)
        else:
            quiet = await self._quiet_snapshots(node, self._resting.get(node, {}))
            page = await self._page_of(node)
            code = await self._stopped(node)
        return self._account(node, quiet, page, code, killed=kill)

    async def _page_of(self, node: Node) -> Page | None:
        with suppress(OSError):
            return await node.metrics()
        return None

    def _account(
        self, node: Node, quiet: dict[int, Snapshot], page: Page | None, code: int | None, *, killed: bool
    ) -> Run:
        resting = self._resting.pop(node, {})
        leftovers = () if killed else tuple(_leftovers(node.plan))
        records = tuple(node.access_records())
        run = Run(len(self._runs), node.killed, resting, quiet, page, records, leftovers, code)
        self._runs.append(run)
        return run

    async def _quiet_snapshots(self, node: Node, resting: Mapping[int, Snapshot]) -> dict[int, Snapshot]:
        """The processes once nothing is under way and they hold no more than at rest, or when that takes too long."""
        threads = self.bounds.threads
        peers = [pid for other in self.nodes if other is not node and other.running for pid in other.workers]

        def taken() -> dict[int, Snapshot]:
            return {pid: snapshot(pid, node.ports, peers) for pid in node.workers if is_running(pid)}

        def as_at_rest() -> bool:
            return not list(leaks(Run(0, False, resting, taken(), None, (), (), None), threads))

        try:
            await self.quiet(node)
            for hush in self.hushed:
                hush()
        except NotInTime as error:
            self._late.append(str(error))
        except aiohttp.ClientError:
            await until(lambda: not node.running, "a node whose admin port is closed ends", STOP_WITHIN)
            return {}
        with suppress(NotInTime):
            await until(as_at_rest, "back to rest", 5.0)
        return taken()

    async def _stopped(self, node: Node) -> int | None:
        try:
            code = await node.stop(STOP_WITHIN)
        except TimeoutError:
            self._late.append(
                f"{node} did not stop within {STOP_WITHIN:g} s of SIGTERM; it said:\n{node.said()[-2000:]}"
            )
            await node.kill()
            return None
        if code != 0:
            self._late.append(f"{node} ended with {code}; it said:\n{node.said()[-4000:]}")
        return code

    def _noted(self, asked: Asked) -> tuple[Asked, Reading]:
        reading = self.reader(self.nodes[0]).begin(asked)
        self.readings.append(reading)
        self.wants(asked.file, asked.wanted)
        return asked, reading

    def _set_bounds(self, plan: NodePlan) -> None:
        span, parallel = parse_size(plan.setting("fetch.span")), plan.setting("fetch.parallel")
        pools = len(plan.disks) * ((plan.setting("store.threads_per_disk") or 4) + _COLD_THREADS)
        self.bounds = replace(self.bounds, span=span, parallel=parallel, threads=max(self.bounds.threads, pools))

    async def _end(self) -> None:
        for node in self.nodes:
            if node.running:
                await node.kill()


def _leftovers(plan: NodePlan) -> Iterable[str]:
    for disk in plan.disk_folders:
        for name in ("tmp", "trash"):
            folder = disk / name
            yield from (f"{path} was left behind" for path in (folder.iterdir() if folder.exists() else ()))
