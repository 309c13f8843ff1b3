"""Listings of a commit: `tree`, `paths-info`, and the siblings of an info page."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from . import problems
from .messages import Answer, Asked, json_answer
from .paths import RepoTarget
from .repo import Commit, File, LfsFile, Repo
from .site import Site

PAGE = 1000
EXPANDED_PAGE = 50
Item = dict[str, Any]


def tree(site: Site, asked: Asked, repo: Repo, commit: Commit, target: RepoTarget) -> Answer:
    """One page of a folder, with an absolute `Link` to the next (HUB-PROTOCOL §6.16)."""
    folder = target.path.strip("/")
    expanded = asked.flag("expand")
    entries = _below(commit, folder) if asked.flag("recursive") else _directly_in(commit, folder)
    if folder and not entries:
        raise problems.no_such_entry(commit.id)
    most = EXPANDED_PAGE if expanded else PAGE
    limit = asked.parameter("limit") or ""
    size = min(int(limit), most) if limit.isdecimal() else most
    page, rest = _page(entries, cursor_of(asked), max(1, size))
    items = [_item(site, repo, commit, path, expanded=expanded) for path in page]
    headers = {"x-repo-commit": commit.id}
    if rest:
        headers["link"] = next_link(site, asked, page[-1])
    return json_answer(items, headers=headers)


def paths_info(site: Site, asked: Asked, repo: Repo, commit: Commit) -> Answer:
    """Items for the paths that exist, in the order asked; the body is a form (Python) or JSON (JavaScript)."""
    paths, expanded = _asked_paths(asked)
    folders = _folders(commit)
    found = [path for path in paths if path in commit.files or path in folders]
    items = [_item(site, repo, commit, path, expanded=expanded) for path in found]
    return json_answer(items, headers={"x-repo-commit": commit.id})


def sibling(site: Site, path: str, file: File, *, blobs: bool) -> Item:
    item: Item = {"rfilename": path}
    if not blobs:
        return item
    item |= {"size": file.size, "blobId": file.oid}
    if isinstance(file, LfsFile):
        item["lfs"] = {"sha256": file.blob.sha256, "size": file.size, "pointerSize": len(file.pointer)}
        if site.xet:
            item["xetHash"] = file.xet_hash
    return item


def next_link(site: Site, asked: Asked, last: str) -> str:
    """An absolute `Link` to what comes after `last`; the cursor is opaque to clients."""
    cursor = base64.urlsafe_b64encode(json.dumps({"after": last}).encode()).decode()
    query = [(name, value) for name, value in asked.query if name != "cursor"]
    return f'<{site.hub_url}{asked.path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'


def cursor_of(asked: Asked) -> str:
    """What a cursor made by `next_link` says; empty on the first page."""
    cursor = asked.parameter("cursor")
    if not cursor:
        return ""
    try:
        return str(json.loads(base64.urlsafe_b64decode(cursor))["after"])
    except (ValueError, KeyError) as error:
        raise problems.bad_request("Invalid cursor") from error


def iso_date(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _item(site: Site, repo: Repo, commit: Commit, path: str, *, expanded: bool) -> Item:
    file = commit.files.get(path)
    item = _folder_item(commit, path) if file is None else _file_item(site, path, file)
    if expanded:
        item["lastCommit"] = _last_commit(repo, commit, path)
        if file is not None:
            item["securityFileStatus"] = {"status": "safe", "avScan": None, "pickleImportScan": None}
    return item


def _file_item(site: Site, path: str, file: File) -> Item:
    item: Item = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
    if isinstance(file, LfsFile):
        item["lfs"] = {"oid": file.blob.sha256, "size": file.size, "pointerSize": len(file.pointer)}
        if site.xet:
            item["xetHash"] = file.xet_hash
    return item


def _folder_item(commit: Commit, path: str) -> Item:
    listing = "\n".join(f"{name} {commit.files[name].identity}" for name in _files_below(commit, path))
    return {"type": "directory", "oid": hashlib.sha1(listing.encode()).hexdigest(), "size": 0, "path": path}


def _last_commit(repo: Repo, commit: Commit, path: str) -> Item:
    names = [path] if path in commit.files else _files_below(commit, path)
    known = (repo.commits.get(commit.touched[name], commit) for name in names)
    last = max(known, key=lambda one: one.timestamp)
    return {"id": last.id, "title": last.title, "date": iso_date(last.timestamp)}


def _page(entries: Iterable[str], after: str, size: int) -> tuple[list[str], bool]:
    left = sorted(entry for entry in entries if entry > after)
    return left[:size], len(left) > size


def _directly_in(commit: Commit, folder: str) -> set[str]:
    start = f"{folder}/" if folder else ""
    return {start + path[len(start) :].partition("/")[0] for path in commit.files if path.startswith(start)}


def _below(commit: Commit, folder: str) -> set[str]:
    files = set(_files_below(commit, folder))
    folders = {name for name in _folders(commit) if not folder or name.startswith(f"{folder}/")}
    return files | folders


def _files_below(commit: Commit, folder: str) -> list[str]:
    return [path for path in commit.files if not folder or path.startswith(f"{folder}/")]


def _folders(commit: Commit) -> set[str]:
    found: set[str] = set()
    for path in commit.files:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _asked_paths(asked: Asked) -> tuple[list[str], bool]:
    if "json" in asked.headers.get("content-type", ""):
        return _paths_of_json(asked.body)
    try:
        form = parse_qsl(asked.body.decode(), keep_blank_values=True)
    except UnicodeDecodeError as error:
        raise problems.bad_request("The form is not UTF-8") from error
    expanded = any(name == "expand" and value.lower() in {"true", "1"} for name, value in form)
    return [value for name, value in form if name == "paths"], expanded


def _paths_of_json(body: bytes) -> tuple[list[str], bool]:
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise problems.bad_request("The body is not JSON") from error
    if not isinstance(asked, Mapping) or not isinstance(asked.get("paths"), list):
        raise problems.bad_request("The body has no list of paths")
    return [str(path) for path in asked["paths"]], bool(asked.get("expand"))
