"""The registry's dialect: who asks, what a manifest names, and how objects are addressed."""

from __future__ import annotations

import orjson
import pytest

from proxy.core.errors import OriginLied, RequestRefused
from proxy.core.secret import Secret
from proxy.hub.names import RepoId, RepoKind
from proxy.hub.oci import Agent, Layer, agent_of, digest_of, layers_of, read_digest
from proxy.hub.paths import UnknownTarget, parse, render
from proxy.hub.targets import LfsObject, OciBlob, OciManifest, OciPing, OciToken, Target

HEX = "0123456789abcdef" * 4
REPO = RepoId(RepoKind.MODEL, "acme/tiny-GGUF")


@pytest.mark.parametrize(
    "said, agent",
    [
        ("llama-cpp", Agent.LLAMA_CPP),
        ("llama-cpp/b5000", Agent.LLAMA_CPP),
        ("ollama/0.12.0 (amd64 linux) Go/go1.24.1", Agent.REGISTRY),
        ("docker/27", Agent.REGISTRY),
        (None, Agent.REGISTRY),
    ],
)
def test_the_body_of_a_manifest_depends_on_who_asks(said: str | None, agent: Agent) -> None:
    assert agent_of(said) is agent


def test_a_manifest_names_its_layers_and_its_configuration() -> None:
    part = {"digest": f"sha256:{HEX}", "size": 9}
    assert layers_of(orjson.dumps({"config": part, "layers": [part]})) == (Layer(HEX, 9), Layer(HEX, 9))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"config": {"digest": "md5:1", "size": 1}}',
        b'{"config": {"digest": 1, "size": 1}}',
        orjson.dumps({"config": {"digest": f"sha256:{HEX}", "size": -1}}),
        orjson.dumps({"config": {"digest": f"sha256:{HEX}", "size": True}}),
    ],
)
def test_a_manifest_that_cannot_be_is_a_lie(body: bytes) -> None:
    with pytest.raises(OriginLied):
        layers_of(body)


def test_digests() -> None:
    assert digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert read_digest(f"sha256:{HEX}") == HEX
    assert read_digest(f"sha256:{HEX.upper()}") is None


@pytest.mark.parametrize(
    "target",
    [
        OciPing(),
        OciToken(),
        OciManifest(REPO, "Q4_K_M"),
        OciManifest(REPO, "latest"),
        OciBlob(REPO, HEX),
        OciBlob(REPO, HEX, Secret("gAAAA-_x")),
        LfsObject(HEX, Secret("gAAAA-_x")),
    ],
)
def test_what_is_rendered_is_read_back(target: Target) -> None:
    assert parse(render(target), "GET") == target
    assert parse(render(target), "HEAD") == target
    with pytest.raises(RequestRefused):
        parse(render(target), "DELETE")


@pytest.mark.parametrize(
    "raw",
    [
        "/v2/acme/tiny",
        "/v2/tiny/manifests/latest",
        "/v2/acme/tiny/tags/list",
        "/v2/acme/tiny/manifests/a%2Fb",
        f"/v2/acme/tiny/blobs/{HEX}",
        f"/v2/acme/tiny/blobs/sha256:{HEX[1:]}",
        "/v2/acme/tiny/manifests/latest?x=1",
        f"/__lfs/{HEX[1:]}?t=x",
        "/__lfs",
    ],
)
def test_what_names_no_object_is_unknown(raw: str) -> None:
    with pytest.raises(UnknownTarget):
        parse(raw, "GET")


@pytest.mark.parametrize("query", ["", "?t=", "?x=1", "?t"])
def test_an_address_without_its_ticket_opens_nothing(query: str) -> None:
    found = parse(f"/__lfs/{HEX}{query}", "GET")
    assert isinstance(found, LfsObject)
    assert found.ticket.reveal() == ""
