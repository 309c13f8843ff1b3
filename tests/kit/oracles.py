"""The eight oracles of RELIABILITY §5.1 and two more: pure functions from the evidence to what was broken.

Tolerances are named and explained here, once; a scenario that needs more says so on the stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from proxy.core.sizes import CHUNK, MIB

from .evidence import Evidence, Run
from .reader import Ending

Oracle = Callable[[Evidence], Iterator[str]]

ORIGIN_SLACK = 1.05
LEAKED_FILES = 12
"""Descriptors of the catalogue's and the index' databases (each with its log and shared memory) open on first use."""
LEAKED_THREADS = 8
"""Beyond the pools of the disks: the loop's own pool, which grows to cores + 4."""
LEAKED_MEMORY = (20 + 110) * MIB
"""20 MB, and 110 for what the allocator keeps after the first fills: measured over 14 fills of 48 MiB, the anonymous
memory of a worker rises from 40 MiB to between 85 and 145, and falls again; it does not grow with their number."""


def o1_no_wrong_byte(evidence: Evidence) -> Iterator[str]:
    """Content, status, Content-Length, Content-Range and ETag are those of the file asked for."""
    for reading in evidence.readings:
        yield from (f"{reading.asked.file.path}: {fault}" for fault in reading.faults if "clean end" not in fault)
    for file in evidence.received:
        if (file.sha256, file.size) != (file.right_sha256, file.right_size):
            yield f"{file.path}: a client holds {file.size} bytes, sha256 {file.sha256}; right is {file.right_sha256}"


def o2_complete_or_clean_error(evidence: Evidence) -> Iterator[str]:
    """The whole, a refusal, or a cut that the client can see; never a short clean end."""
    for reading in evidence.readings:
        if reading.ending is None:
            yield f"never ended: {reading}"
        elif reading.ending is Ending.COMPLETE:
            start, stop = reading.asked.wanted
            if reading.received != stop - start:
                yield f"a short clean end: {reading}"


def o3_origin_asked_once(evidence: Evidence) -> Iterator[str]:
    """Origin bytes ≤ 1.05 × the unique bytes wanted, plus what was in flight at each fault and kill, and the
    chunks begun when a reader left."""
    bounds, wanted, sent = evidence.bounds, evidence.unique_wanted(), evidence.hub.file_bytes
    if bounds.extra_origin is None:
        return
    if bounds.exact_origin:
        if sent != wanted + bounds.extra_origin:
            yield f"the origin sent {sent} bytes, not exactly {wanted + bounds.extra_origin}"
        return
    cut_off = sum(reading.ending in (Ending.LEFT, Ending.BROKEN) for reading in evidence.readings)
    lost = (evidence.hub.strikes + bounds.kills) * bounds.parallel * bounds.span + cut_off * bounds.parallel * CHUNK
    most = int(wanted * ORIGIN_SLACK) + lost + bounds.extra_origin
    if sent > most:
        yield f"the origin sent {sent} bytes for {wanted} wanted (at most {most})"


def o4_no_leaks(evidence: Evidence) -> Iterator[str]:
    """Once quiet, each process is back to what it was before the first request."""
    for run in evidence.runs:
        yield from run.leftovers
        yield from leaks(run, evidence.bounds.threads)


def leaks(run: Run, pool_threads: int) -> Iterator[str]:
    """What a run's processes hold on to. A restarted worker is compared with the first."""
    if not run.resting:
        return
    typical = next(iter(run.resting.values()))
    for pid, now in run.quiet.items():
        before = run.resting.get(pid, typical)
        held, held_before = now.descriptors, before.descriptors
        if held.clients:
            yield f"{pid}: {held.clients} client connections are still open"
        grown = len(held.files) + held.others - len(held_before.files) - held_before.others
        if grown > LEAKED_FILES:
            yield f"{pid}: {grown} descriptors more than before: {sorted(set(held.files) - set(held_before.files))}"
        if now.threads > before.threads + pool_threads + LEAKED_THREADS:
            yield f"{pid}: {now.threads} threads, {before.threads} before"
        if now.children > before.children:
            yield f"{pid}: {now.children} children, {before.children} before"
        if now.anonymous > before.anonymous + LEAKED_MEMORY:
            yield f"{pid}: {(now.anonymous - before.anonymous) / MIB:.0f} MiB more memory than before"


def o5_store_consistent(evidence: Evidence) -> Iterator[str]:
    """What lies on the disks agrees with itself, every verified chunk with its checksum."""
    yield from evidence.fsck


def o6_nothing_hangs(evidence: Evidence) -> Iterator[str]:
    yield from (f"hung: {reading}" for reading in evidence.readings if reading.ending is Ending.HUNG)
    yield from evidence.late


def o7_no_token_leaks(evidence: Evidence) -> Iterator[str]:
    yield from evidence.canaries


def o8_counters_agree(evidence: Evidence) -> Iterator[str]:
    """What the node counted, what it logged, what its clients received and what the origin sent are the same story."""
    counted, logged = evidence.total("response_bytes_total"), sum(record["bytes"] for record in evidence.records())
    requests, lines = evidence.total("http_requests_total"), len(list(evidence.records()))
    received = sum(reading.body_bytes for reading in evidence.readings)
    between = ("peer", "manifest")
    peer_requests = sum(evidence.total("http_requests_total", route=route) for route in between)
    to_clients = counted - sum(evidence.total("response_bytes_total", route=route) for route in between)
    if not evidence.whole_account:
        return
    if requests != lines:
        yield f"{requests} requests are counted, {lines} are in the access log"
    if counted != logged:
        yield f"{counted} bytes are counted, {logged} are in the access log"
    if to_clients < received:
        yield f"clients received {received} bytes, {to_clients} are counted"
    if evidence.bounds.only_readers and not evidence.has_leavers:
        asked = sum(reading.requests for reading in evidence.readings)
        if to_clients != received:
            yield f"clients received {received} bytes, {to_clients} are counted"
        if requests - peer_requests != asked:
            yield f"clients made {asked} requests, {requests - peer_requests} are counted"
    yield from _peer_disagreements(evidence)
    yield from _upstream_disagreements(evidence)


def _peer_disagreements(evidence: Evidence) -> Iterator[str]:
    """What nodes had from one another, both sides' books."""
    memory = evidence.total("response_bytes_total", route="peer", source="memory")  # refusals in words
    sent, received = evidence.total("response_bytes_total", route="peer") - memory, evidence.total("peer_bytes_total")
    reads = evidence.total("peer_reads_total")
    broken = reads - sum(evidence.total("peer_reads_total", result=result) for result in ("ok", "elsewhere", "refused"))
    if received > sent:
        yield f"nodes received {received} bytes from one another, they sent {sent}"
    if not broken and received != sent:
        yield f"nodes sent one another {sent} bytes, {received} are counted as received"
    if reads < (requests := evidence.total("http_requests_total", route="peer")):
        yield f"nodes asked one another {reads} times, {requests} are counted"


def _upstream_disagreements(evidence: Evidence) -> Iterator[str]:
    hub = evidence.hub
    upstream, filled = evidence.total("upstream_bytes_total"), evidence.total("fill_bytes_total")
    asked, answered = evidence.total("upstream_requests_total"), hub.asked_by_node
    sent = sum(hub.body_bytes.values())
    if upstream > sent:
        yield f"{upstream} bytes are counted from the origin, it sent {sent}"
    if filled > upstream + (peers := evidence.total("peer_bytes_total") + evidence.total("import_bytes_total")):
        yield f"{filled} bytes are counted as filled, {upstream} as received, and {peers} from peers"
    # A download that nobody wanted any more was let go: what was on its way then, the origin has sent in vain.
    let_go = evidence.total("fills_total") - evidence.total("fills_total", result="ok")
    if hub.strikes or hub.was_off or evidence.has_leavers or let_go:
        return
    # The last look at a node waits until it has begun nothing for a while: there is nothing for the origin alone.
    if sent - hub.kept_by_hf_xet > upstream:
        yield f"the origin sent {sent} bytes, {upstream} are counted"
    if answered != asked:
        yield f"the origin saw {answered} requests, {asked} are counted"


def o9_nothing_leads_away(evidence: Evidence) -> Iterator[str]:
    """No answer held what would lead its client past the mirror."""
    if leaking := evidence.total("leaks_total"):
        yield f"{leaking:g} answers led their clients away from the mirror"


def o10_a_fleet_holds_nothing(evidence: Evidence) -> Iterator[str]:
    """No lease in Redis; in the nodes no request, download, follower, reservation or call on a disk."""
    yield from evidence.left


ORACLES: dict[str, Oracle] = {
    "O1 no wrong byte": o1_no_wrong_byte,
    "O2 complete or clean error": o2_complete_or_clean_error,
    "O3 origin asked once": o3_origin_asked_once,
    "O4 no leaks": o4_no_leaks,
    "O5 store consistent": o5_store_consistent,
    "O6 nothing hangs": o6_nothing_hangs,
    "O7 no token leaks": o7_no_token_leaks,
    "O8 counters agree": o8_counters_agree,
    "O9 nothing leads away": o9_nothing_leads_away,
    "O10 a fleet holds nothing": o10_a_fleet_holds_nothing,
}


def judged(evidence: Evidence) -> dict[str, list[str]]:
    """What each oracle that is not content complains of."""
    complaints = {name: list(oracle(evidence)) for name, oracle in ORACLES.items()}
    return {name: found for name, found in complaints.items() if found}
