"""Steering a Hub that runs in another process, on the Hub's own port and apart from its pages.

    GET  /__hub/faults        the faults armed           POST /__hub/faults    change them (form: see `faults`)
    GET  /__hub/counters      sums per kind              POST /__hub/counters  forget sums and log
    GET  /__hub/log           the latest requests        POST /__hub/world     change the world, {"verb": …, "repo": …}

Verbs of `world` (`repo` is `acme/tiny`, or with its kind `datasets/acme/tiny`): `branch` {name, at}, `tag` {name, at},
`pull-request` {number, at}, `commit` {title, branch, texts: {path: text}, blobs: {path: size}, remove: [path]},
`grant` {user}, `revoke` {user}, `disable`, `enable`, `private` {on}, `gated` {on}, `rename` {to}, `delete`. Each
answers with the branches.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .messages import Asked
from .repo import Repo, RepoSpec
from .units import parse_size
from .world import World

if TYPE_CHECKING:
    from .server import SyntheticHub

PREFIX = "/__hub/"


async def handle(hub: "SyntheticHub", asked: Asked) -> web.Response:
    """Answer a control request; a mistake is a 400 that says which."""
    try:
        return _json(await _act(hub, asked.method, asked.path.removeprefix(PREFIX), asked.body))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return _json({"error": f"{type(error).__name__}: {error}"}, status=400)


async def _act(hub: "SyntheticHub", method: str, page: str, body: bytes) -> object:
    match method, page:
        case "GET", "faults":
            return hub.faults.as_json()
        case "POST", "faults":
            return _set_faults(hub, json.loads(body))
        case "GET", "counters":
            return hub.counters.snapshot()
        case "POST", "counters":
            hub.counters.reset()
            return hub.counters.snapshot()
        case "GET", "log":
            return [_record(one) for one in hub.log]
        case "POST", "world":
            return change_world(hub.world, json.loads(body))
        case _:
            raise ValueError(f"{method} {PREFIX}{page} is no control page: faults, counters, log, world")


def change_world(world: World, wanted: Mapping[str, Any]) -> dict[str, str]:
    """Apply one verb; the branches of the repo afterwards. Raises ValueError or KeyError."""
    named = RepoSpec.parse(str(wanted["repo"]))
    repo = world.repo(named.id, kind=named.kind)
    match wanted["verb"]:
        case "rename":
            world.rename(named.id, str(wanted["to"]), kind=named.kind)
        case "delete":
            world.delete(named.id, kind=named.kind)
        case verb:
            _change_repo(repo, str(verb), wanted)
    return dict(repo.branches)


def _change_repo(repo: Repo, verb: str, wanted: Mapping[str, Any]) -> None:
    at = str(wanted.get("at", "main"))
    match verb:
        case "branch":
            repo.branch(str(wanted["name"]), at)
        case "tag":
            repo.tag(str(wanted["name"]), at)
        case "pull-request":
            repo.pull_request(int(wanted["number"]), at)
        case "commit":
            _commit(repo, wanted)
        case "grant":
            repo.grant(str(wanted["user"]))
        case "revoke":
            repo.revoke(str(wanted["user"]))
        case "disable" | "enable":
            repo.disabled = verb == "disable"
        case "private":
            repo.private = bool(wanted.get("on", True))
        case "gated":
            repo.gated = bool(wanted.get("on", True))
        case _:
            raise ValueError(f"unknown verb {verb!r}")


def _commit(repo: Repo, wanted: Mapping[str, Any]) -> None:
    for path, text in dict(wanted.get("texts", {})).items():
        repo.put_text(path, str(text))
    for path, size in dict(wanted.get("blobs", {})).items():
        repo.put_blob(path, parse_size(str(size)))
    for path in wanted.get("remove", ()):
        repo.remove(path)
    repo.commit(str(wanted.get("title", "change")), branch=str(wanted.get("branch", "main")))


def _set_faults(hub: "SyntheticHub", wanted: Mapping[str, Any]) -> object:
    hub.faults.update(wanted)
    if wanted.get("expire_now"):
        hub.expire_urls()
    if wanted.get("off"):
        hub.off_for(float(wanted["off"]))
    return hub.faults.as_json()


def _record(record: Any) -> dict[str, Any]:
    return {
        "method": record.method,
        "raw_path": record.raw_path,
        "status": record.status,
        "headers": dict(record.headers),
        "bytes_sent": record.bytes_sent,
        "kind": record.kind,
        "plane": record.plane,
    }


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(value), content_type="application/json", status=status)
