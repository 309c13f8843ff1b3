"""The CAS: the real hf_xet fetches from it, and what it refuses."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hub import faults as f
from bench.hub.cdn import PlainLimit
from bench.hub.content import KIB, MIB, SyntheticBlob
from bench.hub.repo import LfsFile
from bench.hub.server import SyntheticHub
from bench.hub.world import World
from bench.hub.xorbs import HEADER, XORB, XorbBlob, terms_of
from tests.bench.hub.asking import Ask, Mint, Reply
from tests.kit.clients import CURRENT, Client

BIG = "model.bin"
SIZE = 2 * XORB + 3 * MIB + 17
TOKEN = "/api/models/acme/big/xet-read-token/main"


@pytest.fixture
def big(world: World) -> LfsFile:
    repo = world.add_model("acme/big")
    repo.put_blob(BIG, SIZE)
    repo.commit("Upload")
    file = repo.file(BIG)
    assert isinstance(file, LfsFile)
    return file


async def told(ask: Ask, hub: SyntheticHub, file: LfsFile, version: str = "v2", **headers: str) -> Reply:
    token = json.loads((await ask(TOKEN)).body)["accessToken"]
    return await ask(f"{hub.cas_url}/{version}/reconstructions/{file.xet_hash}", token=token, **headers)


@pytest.mark.parametrize("missing", ["nothing", "/v2/"])
async def test_the_real_client_fetches_by_xet(hub: SyntheticHub, big: LfsFile, tmp_path: Path, missing: str) -> None:
    """In the new form, and in the old one when there is no other."""
    hub.faults.add(f.Fail(404), kinds=("cas",), path=missing)
    client = Client(CURRENT, hub.url, tmp_path)
    (outcome,) = await client.run([{"op": "download", "repo_id": "acme/big", "filename": BIG}])
    assert (outcome.value["sha256"], outcome.value["size"]) == (big.blob.sha256, SIZE)
    chunks = sum(term.stop - term.first for term in terms_of(big.blob, 0, SIZE))
    assert hub.counters.total_bytes("xorb") == SIZE + HEADER * chunks
    assert hub.counters.total_bytes("cdn") == 0
    assert hub.counters.total_requests("cas") >= 1


async def test_a_token_that_has_expired_opens_nothing(ask: Ask, hub: SyntheticHub, big: LfsFile) -> None:
    address = f"{hub.cas_url}/v2/reconstructions/{big.xet_hash}"
    token = json.loads((await ask(TOKEN)).body)["accessToken"]
    assert (await ask(address, token=token)).status == 200
    hub.cas.expire_tokens()
    for bad in (token, "", "xet_a:b", "hf_alice"):
        assert (await ask(address, token=bad)).status == 401
    assert (await told(ask, hub, big)).status == 200


async def test_a_token_opens_the_files_of_its_commit_alone(ask: Ask, hub: SyntheticHub, big: LfsFile) -> None:
    token = json.loads((await ask("/api/models/acme/tiny/xet-read-token/main")).body)["accessToken"]
    assert (await ask(f"{hub.cas_url}/v2/reconstructions/{big.xet_hash}", token=token)).status == 404


async def test_a_range_past_the_end_is_416(ask: Ask, hub: SyntheticHub, big: LfsFile) -> None:
    reply = await told(ask, hub, big, Range=f"bytes={SIZE}-{SIZE + 9}")
    assert (reply.status, reply["content-range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_an_address_is_good_for_its_range_alone(ask: Ask, hub: SyntheticHub, big: LfsFile, version: str) -> None:
    said = json.loads((await told(ask, hub, big, version, Range="bytes=50000-60000")).body)
    assert said["offset_into_first_range"] == 50_000 - 40 * KIB
    ((place,),) = said["xorbs" if version == "v2" else "fetch_info"].values()
    held = place["ranges"][0]["bytes"] if version == "v2" else place["url_range"]
    first, last = held["start"], held["end"]
    fetched = await ask(place["url"], Range=f"bytes={first}-{last}")
    assert fetched.status == 206
    assert fetched.body[HEADER:] == big.blob.read(40 * KIB, 88 * KIB)
    assert (await ask(place["url"], Range=f"bytes={first}-{last + 1}")).status == 403
    assert (await ask(place["url"])).status == 403
    assert (await ask(place["url"], Range=f"bytes={first}-{last}", token="hf_alice")).status == 400
    hub.cas.expire_addresses()
    assert (await ask(place["url"], Range=f"bytes={first}-{last}")).status == 403


async def test_what_is_above_the_plain_limit_is_refused_in_ranges_too(
    ask: Ask, hub: SyntheticHub, cdn_address: Mint
) -> None:
    hub.plain_limit = PlainLimit(3 * MIB)
    assert (await ask(await cdn_address())).status == 403
    assert (await ask(await cdn_address(), Range="bytes=0-9")).status == 403
    hub.plain_limit = PlainLimit(3 * MIB, status=400)
    assert (await ask(await cdn_address())).status == 400
    hub.plain_limit = PlainLimit(4 * MIB)
    assert (await ask(await cdn_address(), Range="bytes=0-9")).status == 206


@given(size=st.integers(1, 40 * MIB), data=st.data())
def test_chunks_put_together_are_the_file(size: int, data: st.DataObject) -> None:
    blob = SyntheticBlob("chunks", size, sha256="5a" * 32)
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, min(size, start + 300 * KIB)))
    terms, content = terms_of(blob, start, stop), b""
    for term in terms:
        at, end = term.places
        while at < end:
            header = term.xorb.read(at, HEADER)
            length = int.from_bytes(header[1:4], "little")
            assert header == bytes([0, *header[1:4], 0, *header[1:4]])
            content += term.xorb.read(at + HEADER, length)
            at += HEADER + length
        assert at == end
    assert sum(term.length for term in terms) == len(content)
    lead = start - terms[0].start
    assert content[lead : lead + stop - start] == blob.read(start, stop - start)


def test_a_xorb_reads_alike_whole_and_in_pieces() -> None:
    blob = SyntheticBlob("pieces", XORB + 100_000, sha256="5a" * 32)
    for xorb in (XorbBlob(blob, 0), XorbBlob(blob, 1)):
        pieces = b"".join(xorb.read(at, 100_003) for at in range(0, xorb.size, 100_003))
        assert hashlib.sha256(pieces).digest() == hashlib.sha256(xorb.read(0, xorb.size)).digest()
        assert len(pieces) == xorb.size
