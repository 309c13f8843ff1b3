"""The origin breaks: it is away, slow, wrong, refuses; and the ways to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final
from urllib.parse import urlsplit

from bench.hub.content import KIB, MIB
from bench.hub.faults import Delay, Fail, FlipByte, RateLimited
from bench.hub.messages import Plane
from deploy.walk.ground import Ground
from deploy.walk.load import again_and_again
from deploy.walk.path import path
from tests.kit.node import Node

BYTES: Final = ("cdn", "resolve-cache")
"""The kinds of answers that are bytes of files."""


@path(
    "PenstockOriginAway",
    broken="the Hub's ports closed",
    done="the Hub there again, and one question that it can answer",
)
async def origin_away(ground: Ground) -> None:
    kept = ground.stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    node = await ground.node()
    await ground.stage.read(node, kept)
    await ground.quiet()
    await ground.stage.hub_off()
    await ground.fires(_new_files(ground, node))
    assert (await ground.stage.read(node, kept)).complete, "what is here is served"
    await ground.stage.hub.on()
    await ground.over(_new_files(ground, node, "again"))


@path(
    "PenstockOriginRefuses",
    broken="the Hub answers 429 to callers without a token, with a second to wait",
    done="the mirror given a token of its own (`origin.token_file`), restarted",
)
async def origin_refuses(ground: Ground) -> None:
    stage = ground.stage
    node = await ground.node()
    await ground.quiet()
    refusing = stage.faults.add(RateLimited(seconds=1), plane=Plane.HUB)
    await ground.fires(_new_files(ground, node))
    assert (await node.metrics()).total("upstream_requests_total", code="429") >= 2
    (stage.folder / "token").write_text(stage.user("mirror"))
    (stage.folder / "token").chmod(0o600)
    await node.stop()
    node.configure(origin__token_file=str(stage.folder / "token"))
    stage.faults.remove(refusing)  # the allowance of an account is another one
    await stage.start(node)
    await ground.over(_new_files(ground, node, "again"))


@path(
    "PenstockOriginSlow",
    broken="the Hub takes six seconds to answer",
    done="nothing but to wait: pinned commits are served meanwhile; the Hub answers at once again",
)
async def origin_slow(ground: Ground) -> None:
    kept = ground.stage.blob("acme/tiny", "model.safetensors", MIB)
    node = await ground.node(origin__read_timeout="10s")
    await ground.stage.read(node, kept)
    await ground.quiet()
    ground.stage.faults.add(Delay(6.0), kinds=("resolve",))
    async with again_and_again(_new_files(ground, node)), again_and_again(_new_files(ground, node, "two")):
        await ground.fires()
        assert (await ground.stage.read(node, kept)).complete
        ground.stage.faults.clear()
        await ground.over()


@path(
    "PenstockFillsFail",
    broken="the CDN answers 500 to everything",
    done="the CDN mended; the files that failed come",
)
async def fills_fail(ground: Ground) -> None:
    node = await ground.node()
    await ground.quiet()
    ground.stage.faults.add(Fail(500), kinds=BYTES)
    wanted = _new_files(ground, node)
    async with again_and_again(wanted), again_and_again(_new_files(ground, node, "two")):
        await ground.fires()
        ground.stage.faults.clear()
        await ground.over()


@path(
    "PenstockOriginLies",
    broken="a byte of a file flipped on its way from the CDN",
    done="the way mended; the same file comes, and is right",
)
async def origin_lies(ground: Ground) -> None:
    file = ground.stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    node = await ground.node()
    await ground.quiet()
    ground.stage.faults.add(FlipByte(MIB), kinds=BYTES)
    assert not (await ground.stage.read(node, file)).complete, "nothing wrong is delivered as whole"
    await ground.fires()
    ground.stage.faults.clear()
    assert (await ground.stage.read(node, file)).complete
    await ground.over()


@path(
    "PenstockErrorsFast",
    "PenstockErrorsSlow",
    broken="the Hub keeps bytes at a host that `origin.redirect_hosts` does not name: 502, which says so",
    done="the host that the message names added to `origin.redirect_hosts`, restarted",
)
async def errors(ground: Ground) -> None:
    hub = ground.stage.hub
    file = ground.stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    node = await ground.node()
    await ground.quiet()
    hub.call_cdn("localhost")

    async def wanted() -> int:
        return (await ground.stage.ask(node, file.target())).status

    await ground.fires(wanted)
    answer = await ground.stage.ask(node, file.target())
    assert answer.status == 502
    assert b"redirect_hosts" in answer.body
    await node.stop()
    node.configure(origin__redirect_hosts=[urlsplit(hub.cdn_url).netloc])
    await ground.stage.start(node)
    assert await wanted() == 200
    await ground.over(wanted)


@path(
    "PenstockHitRatioLow",
    broken="every client wants another file, 20 MB/s of them",
    done="they want what is here (as after `penstock warm REPO`)",
)
async def hit_ratio_low(ground: Ground) -> None:
    node = await ground.node()
    await ground.quiet()
    await ground.fires(_new_files(ground, node, size=24 * MIB))
    file = ground.stage.blob("acme/known", "model.safetensors", 24 * MIB)
    warmed = await ground.command(node, "warm", "acme/known")
    assert warmed.returncode == 0, warmed

    async def the_same() -> None:
        assert (await ground.stage.read(node, file)).complete

    await ground.over(the_same)


def _new_files(ground: Ground, node: Node, name: str = "one", *, size: int = 64 * KIB) -> Callable[[], Awaitable[None]]:
    """Wants a file each time that nobody has wanted before; what comes of it is all the same."""
    numbers = count()

    async def another() -> None:
        file = ground.stage.blob(f"acme/{name}-{next(numbers)}", "model.safetensors", size)
        await ground.stage.ask(node, file.target())

    return another
