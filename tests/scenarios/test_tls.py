"""The data port over TLS, to clients that trust its authority by a file: no sendfile there, and the same bytes."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import trustme

from bench.hub.content import MIB
from tests.kit.clients import VERSIONS, Client
from tests.kit.node import Node
from tests.kit.stage import Stage


@pytest.fixture
async def encrypted(stage: Stage) -> tuple[Node, Path]:
    """A node that speaks TLS, and the file of the authority to trust."""
    authority, folder = trustme.CA(), stage.folder
    issued = authority.issue_cert("localhost", not_after=datetime.datetime(2100, 1, 1))
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    for part in issued.cert_chain_pems:
        part.write_to_path(str(folder / "chain.pem"), append=True)
    node = await stage.node(server__tls_certificate=str(folder / "chain.pem"), server__tls_key=str(folder / "key.pem"))
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
        client = Client(version, f"https://localhost:{node.data.port}", home)
        snapshot, listing = await client.run(calls, SSL_CERT_FILE=str(authority), REQUESTS_CA_BUNDLE=str(authority))
        assert stage.got_all(repo, snapshot) == {"config.json", "empty.txt", "model.safetensors"}
        assert len(listing.value) == 1103
