"""The data port over TLS, to clients that trust its authority by a file: no sendfile there, and the same bytes."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from bench.hub.content import MIB
from tests.kit.clients import VERSIONS, XET_VERSIONS, Client
from tests.kit.files import expected
from tests.kit.node import Node, own_places
from tests.kit.stage import Stage


@pytest.fixture
async def encrypted(stage: Stage) -> tuple[Node, Path]:
    return await served(stage)


async def served(stage: Stage, **settings: Any) -> tuple[Node, Path]:
    """A node that speaks TLS, and the file of the authority to trust."""
    authority, folder = trustme.CA(), stage.folder
    issued = authority.issue_cert("localhost", own_places(1)[0].host, not_after=datetime.datetime(2100, 1, 1))
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    for part in issued.cert_chain_pems:
        part.write_to_path(str(folder / "chain.pem"), append=True)
    pair = {"server__tls_certificate": str(folder / "chain.pem"), "server__tls_key": str(folder / "key.pem")}
    node = await stage.node(**pair, **settings)
    return node, folder / "authority.pem"


@pytest.mark.parametrize("version", VERSIONS)
async def test_snapshot_and_listing_arrive_over_tls(stage: Stage, encrypted: tuple[Node, Path], version: str) -> None:
    """Cold, and warm by a second client; pages of the listing lead to https again."""
    repo = stage.repo("acme/tiny")
    for number in range(1100):
        repo.put_text(f"sub/{number:04}.txt", b"x")
    repo.put_text("config.json", b"{}")
    repo.put_text("empty.txt", b"")
    repo.put_blob("model.safetensors", 9 * MIB + 7)
    repo.commit("Upload model")
    node, authority = encrypted
    stage.others_ask()
    wanted = {"allow_patterns": ["*.safetensors", "*.json", "empty.txt"]}
    calls = [
        {"op": "snapshot", "repo_id": repo.id, **wanted},
        {"op": "api", "method": "list_repo_files", "args": [repo.id]},
    ]
    for turn in ("cold", "warm"):
        home = stage.folder / turn
        home.mkdir()
        client = Client(version, f"https://{node.data}", home)
        snapshot, listing = await client.run(calls, SSL_CERT_FILE=str(authority), REQUESTS_CA_BUNDLE=str(authority))
        assert stage.got_all(repo, snapshot) == {"config.json", "empty.txt", "model.safetensors"}
        assert len(listing.value) == 1103


@pytest.mark.parametrize("version", XET_VERSIONS)
async def test_an_advertised_file_comes_by_xet_over_tls(stage: Stage, version: str) -> None:
    """HUB-PROTOCOL §7.7: every address of the facade is https, and every generation of hf_xet follows it."""
    repo = stage.repo("acme/tiny")
    repo.put_blob("model.safetensors", 20 * MIB + 7)
    repo.commit("Upload model")
    node, authority = await served(stage, xet__advertise_above=0)
    stage.others_ask()
    home = stage.folder / "client"
    home.mkdir()
    client = Client(version, f"https://{node.data}", home)
    trusting = {"SSL_CERT_FILE": str(authority), "REQUESTS_CA_BUNDLE": str(authority)}
    call = {"op": "download", "repo_id": repo.id, "filename": "model.safetensors"}
    (outcome,) = await client.run([call], **trusting)
    stage.got(expected(repo, "model.safetensors"), outcome)
    assert {record["route"] for record in node.access_records() if record["bytes"] > MIB} == {"xet"}
