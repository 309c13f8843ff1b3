"""The fleet on the admin port: who is there, who owns what, and stepping back from it.

    GET  /-/api/cluster                        this node's view; 404 when it is in no cluster
    GET  /-/api/cluster/placement?key=&slices= who owns the slices of a blob, best first
    POST /-/api/cluster/drain                  own nothing from now on (JSON; 409 when nobody is there to take over)

A page in somebody's browser must not drain a node: only a request that says it is JSON is taken, which no form can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import orjson
from aiohttp import web

from proxy.cluster.members import Member, MemberState, View
from proxy.cluster.membership import Membership
from proxy.core.blob import BlobKey

MOST_SLICES: Final = 10_000
"""Slices of one question about placement: 640 GB of one blob."""
STARTING: Final = "the node is starting"


class ClusterView(Protocol):
    """The node's part in its fleet; of one process or of a supervisor with its workers."""

    @property
    def in_cluster(self) -> bool:
        """Whether the configuration has a cluster."""
        ...

    async def cluster(self) -> dict[str, Any] | None:
        """What `cluster_status` says, of all workers; None while nobody can say."""
        ...

    async def hand_over(self) -> None:
        """Own no slice any more, for the rest of this life of the node."""
        ...


def cluster_status(membership: Membership) -> dict[str, Any]:
    """One worker's view of the fleet, as JSON."""
    view = membership.view
    weights = sum(member.weight for member in view.members if member.state is MemberState.UP)
    return {
        "node": view.us,
        "advertise": view.ourselves.url,
        "state": view.ourselves.state.value,
        "view": view.version,
        "redis": membership.redis,
        "members": [
            {
                "name": member.name,
                "url": member.url,
                "state": member.state.value,
                "ejected": member.name in view.ejected,
                "weight": member.weight,
                "share": member.weight / weights if member.state is MemberState.UP else 0.0,
                "boot": member.boot,
            }
            for member in view.members
        ],
        "missed": [{"name": member.name, "url": member.url, "weight": member.weight} for member in membership.missed],
    }


def of_all_workers(told: Sequence[Any]) -> dict[str, Any] | None:
    """One status out of those of the workers: a peer counts as ejected when any of them leaves it out."""
    known = [status for status in told if isinstance(status, dict) and "members" in status]
    if not known:
        return None
    ejected = {member["name"] for status in known for member in status["members"] if member["ejected"]}
    members = [{**member, "ejected": member["name"] in ejected} for member in known[0]["members"]]
    return {**known[0], "members": members}


def placement_of(status: dict[str, Any], key: BlobKey, slices: int) -> list[dict[str, Any]]:
    """Who owns the first `slices` slices of the blob and who comes next, in the view of `status`."""
    members = tuple(
        Member(one["name"], one["url"], one["weight"], MemberState(one["state"]), one["boot"])
        for one in status["members"]
    )
    ejected = frozenset(one["name"] for one in status["members"] if one["ejected"])
    view = View(status["view"], members, status["node"], ejected)
    ranks = [[member.name for member in view.ranked(key, index)] for index in range(slices)]
    return [{"slice": index, "owner": rank[0], "next": rank[1:]} for index, rank in enumerate(ranks)]


def add_cluster_routes(application: web.Application, view: ClusterView) -> None:
    """Serve the paths at the head of this file."""

    async def known() -> dict[str, Any]:
        if not view.in_cluster:
            raise refusal(404, "this node is in no cluster")
        status = await view.cluster()
        if status is None:
            raise refusal(503, STARTING)
        return status

    async def show(request: web.Request) -> web.Response:
        return answer(await known())

    async def place(request: web.Request) -> web.Response:
        key, slices = key_of(request), _slices_of(request)
        return answer({"key": str(key), "slices": placement_of(await known(), key, slices)})

    async def drain(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise refusal(415, "say that it is JSON: Content-Type: application/json")
        status = await known()
        if status["state"] == MemberState.UP.value and not _heirs(status):
            raise refusal(409, "no other node is up: nobody could take the slices over")
        await view.hand_over()
        return answer({**status, "state": MemberState.DRAINING.value})

    application.router.add_get("/-/api/cluster", show)
    application.router.add_get("/-/api/cluster/placement", place)
    application.router.add_post("/-/api/cluster/drain", drain)


def _heirs(status: dict[str, Any]) -> list[str]:
    up = [one for one in status["members"] if one["state"] == MemberState.UP.value and not one["ejected"]]
    return [one["name"] for one in up if one["name"] != status["node"]]


def key_of(request: web.Request) -> BlobKey:
    try:
        return BlobKey.parse(request.query.get("key", ""))
    except ValueError:
        raise refusal(400, "key is the key of a blob: sha256: and 64 hexadecimal digits") from None


def _slices_of(request: web.Request) -> int:
    text = request.query.get("slices", "1")
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST_SLICES):
        raise refusal(400, f"slices is a number from 1 to {MOST_SLICES}")
    return int(text)


def answer(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE), content_type="application/json")


def refusal(status: int, why: str) -> web.HTTPException:
    body = orjson.dumps({"error": why}, option=orjson.OPT_APPEND_NEWLINE)
    found: type[web.HTTPException] = {
        400: web.HTTPBadRequest,
        404: web.HTTPNotFound,
        409: web.HTTPConflict,
        415: web.HTTPUnsupportedMediaType,
        503: web.HTTPServiceUnavailable,
    }[status]
    return found(body=body, content_type="application/json")
