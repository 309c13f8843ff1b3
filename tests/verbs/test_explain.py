"""`penstock explain`: for whom, by which rule, of whatever is asked; and the origin hears of none of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bench.hub.content import MIB
from bench.hub.faults import RateLimited
from tests.kit.node import Node
from tests.kit.waiting import until

from .verbs import Operator, operated

pytestmark = pytest.mark.asyncio(loop_scope="module")

OID = "ab" * 32
FILE = "model.safetensors"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    folder = tmp_path_factory.mktemp("explain")
    lasting = {
        "freshness__ref_ttl": "1h",
        "freshness__listing_ttl": "1h",
        "freshness__allow_ttl": "300s",
        "freshness__deny_ttl": "10s",
    }
    async with operated(folder, **lasting) as found:
        for name in ("public", "gated"):
            repo = found.stage.world.add_model(f"acme/{name}", gated=name == "gated")
            repo.put_blob(FILE, MIB + 1)
            repo.commit("Upload")
            repo.grant("member")
        assert (await found.says("warm", "acme/public")).returncode == 0
        yield found


async def steps(operator: Operator, *words: str) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """What is told, and its steps by name. The origin is asked nothing for it."""
    before = (await operator.node.metrics()).total("upstream_requests_total")
    told = await operator.json("explain", *words)
    assert (await operator.node.metrics()).total("upstream_requests_total") == before
    return told, {step["name"]: step for step in told["steps"]}


def resolve(name: str, revision: str = "main") -> str:
    return f"/acme/{name}/resolve/{revision}/{FILE}"


def written(node: Node) -> str:
    return node.said() + node.access_log.read_text()


async def test_a_right_is_explained_for_the_one_who_asks(operator: Operator, tmp_path: Path) -> None:
    stage, target = operator.stage, resolve("gated")
    member, stranger = stage.user("member"), stage.user("stranger")
    (tmp_path / "token").write_text(f"{member}\n")
    told, by = await steps(operator, target, "--anonymous")
    assert (told["asks_origin"], "asked as nobody" in by["right"]["says"]) == (True, True)
    told, by = await steps(operator, target, "--token-file", str(tmp_path / "token"))
    assert told["asks_origin"]
    assert "the bearer of this token is shown to the origin" in by["right"]["says"]
    assert (await stage.ask(operator.node, target, method="HEAD", token=member)).status == 307
    _, by = await steps(operator, target, "--token-file", str(tmp_path / "token"))
    assert (by["right"]["rule"], "let in the bearer" in by["right"]["says"]) == ("freshness.allow_ttl", True)

    async def refused() -> bool:
        """A refusal is remembered for ten seconds, which a busy machine may be between the two."""
        assert (await stage.ask(operator.node, target, method="HEAD", token=stranger)).status == 403
        told, by = await steps(operator, target, "-H", f"Authorization: Bearer {stranger}")
        said = (told["verdict"], told["asks_origin"], by["right"]["rule"], "GatedRepo" in by["right"]["says"])
        return said == ("403", False, "freshness.deny_ttl", True)

    await until(refused, "what the origin refused is refused again")
    told, _ = await steps(operator, target, "-H", "Authorization: Digest nonsense")
    assert (told["verdict"], told["asks_origin"]) == ("401", False)
    shown = await operator.says("explain", target, "--token-file", str(tmp_path / "token"))
    assert shown.returncode == 0
    for secret in (member, stranger):
        assert secret not in shown.said + str(told) + written(operator.node)


async def test_who_asks_is_said_once(operator: Operator) -> None:
    done = await operator.says("explain", resolve("gated"), "--anonymous", "-H", "Authorization: Bearer hf_x")
    assert (done.returncode, "say once who asks" in done.stderr) == (2, True)


async def test_policy_budget_and_admission_are_steps_with_their_rules(operator: Operator) -> None:
    told, by = await steps(operator, resolve("public"))
    assert [step["name"] for step in told["steps"]] == ["policy", "right", "revision", "file", "plan", "admission"]
    assert by["policy"]["rule"] == "limits.connections_per_client, limits.connections"
    assert "no rule on organisations, formats, licences or scans" in by["policy"]["says"]
    assert "until others are used more; disks that take new bytes: disk0" in by["admission"]["says"]
    assert (await operator.says("pin", "acme/public")).returncode == 0
    _, by = await steps(operator, resolve("public"))
    assert "pinned by acme/public@main" in by["admission"]["says"]
    assert (await operator.says("unpin", "acme/public")).returncode == 0
    _, by = await steps(operator, resolve("gated", "v7"))
    assert "as far as this worker knows" in by["budget"]["says"]
    assert by["origin"]["says"] == "asked for: HEAD of the very file"


@pytest.mark.parametrize(
    ("target", "asks", "rule", "said"),
    [
        ("/api/models/acme/public", False, "freshness.ref_ttl", "good for 3600 s"),
        ("/api/models/acme/public/revision/main", False, "freshness.", "main was"),
        ("/api/models/acme/public/tree/main?recursive=true", False, "at a commit it cannot change", "good for good"),
        ("/api/models/acme/public/refs", False, "freshness.ref_ttl", "good for 3600 s"),
        ("/api/models/acme/public/commits/main", True, "", "nothing is kept of it"),
        ("/api/models/acme/public/tree/v9", True, "freshness.ref_ttl", "v9 is not known"),
        ("/acme/public/raw/main/README.md", True, "passed through", "GET /raw/ of README.md"),
        ("/api/whoami-v2", True, "passed through", "GET whoami-v2"),
        ("/api/models?limit=1", True, "passed through", "the very question"),
        ("/acme/public/info/refs?service=git-upload-pack", True, "10 s at most", "GET info/refs"),
        ("/v2/acme/public/manifests/latest", True, "freshness.listing_ttl", "nothing is kept"),
        (f"/v2/acme/public/blobs/sha256:{OID}", True, "the name of its digest", "HEAD of the blob"),
        (f"/__lfs/{OID}?t=ticket", False, "the ticket in the address", "gave out this address"),
        ("/v2/", False, "answered here", "nothing"),
        ("/api/models/acme/public/xet-read-token/main", True, "xet.token_ttl", "HEAD of a file with Xet"),
        (f"/__xet/v2/reconstructions/{OID}", False, "xet.facade", "computed"),
    ],
)
async def test_every_kind_of_question_names_its_rule(
    operator: Operator, target: str, asks: bool, rule: str, said: str
) -> None:
    told, by = await steps(operator, target)
    assert told["asks_origin"] is asks, told
    assert {"policy"} < by.keys()
    assert any(rule in step["rule"] for step in told["steps"]), told
    assert any(said in step["says"] for step in told["steps"]), told
    assert ("origin" in by) is asks


@pytest.mark.parametrize(
    ("target", "verdict", "said"),
    [
        ("/acme/public.git/info/lfs/objects/batch", "the origin is asked", "POST objects/batch"),
        ("/acme/public.git/git-upload-pack", "the origin is asked", "POST git-upload-pack"),
        ("/api/models/acme/public/paths-info/main", "the origin is asked", "for each set of paths by itself"),
        ("/api/models/acme/public/commit/main", "403: send uploads to the Hub itself", "through a mirror"),
    ],
)
async def test_what_is_posted_is_explained_too(operator: Operator, target: str, verdict: str, said: str) -> None:
    told, _ = await steps(operator, target, "--method", "POST")
    assert told["verdict"] == verdict
    assert any(said in step["says"] for step in told["steps"]), told


async def test_what_only_posts_says_so(operator: Operator) -> None:
    done = await operator.says("explain", "/acme/public.git/git-upload-pack")
    assert (done.returncode, "--method POST" in done.stderr) == (2, True)


async def test_a_budget_that_is_spent_is_told(operator: Operator) -> None:
    """The last test here: nobody in particular may ask anything for a minute."""
    operator.stage.faults.add(RateLimited(seconds=60), kinds=("api",), times=1)
    target = "/api/models/acme/public/tree/v9"
    assert (await operator.stage.ask(operator.node, target)).status in (429, 503)
    _, by = await steps(operator, target, "--anonymous")
    assert "allows the anonymous account no more questions for" in by["budget"]["says"]
    assert "RateLimit" in by["budget"]["rule"]
