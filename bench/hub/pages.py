"""The metadata plane apart from listings: info, refs, commits, rights, users, search (HUB-PROTOCOL §1.2)."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from . import problems
from .files import commit_of
from .messages import Answer, Asked, json_answer
from .paths import RepoTarget
from .repo import Commit, GitFile, Repo, RepoKind
from .site import Site
from .trees import cursor_of, iso_date, next_link, sibling
from .world import Caller

COMMITS_PAGE = 50
LIST_PAGE = 1000
_ALWAYS = frozenset({"_id", "id", "modelId"})
Facts = dict[str, Any]


def info(site: Site, asked: Asked, repo: Repo, commit: Commit) -> Answer:
    """Everything about a repo at a commit; `expand` narrows it, `blobs` widens the siblings."""
    facts = _repo_facts(repo, commit)
    facts["siblings"] = [
        sibling(site, path, file, blobs=asked.flag("blobs")) for path, file in sorted(commit.files.items())
    ]
    if asked.flag("securityStatus"):
        facts["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
    wanted = {value for name, value in asked.query if name in {"expand", "expand[]"}}
    if wanted:
        facts = {name: value for name, value in facts.items() if name in wanted | _ALWAYS}
    return json_answer(facts, headers={"x-repo-commit": commit.id})


def refs(asked: Asked, repo: Repo) -> Answer:
    listed: Facts = {
        "branches": [_ref(name, f"refs/heads/{name}", target) for name, target in repo.branches.items()],
        "converts": [_ref(name, f"refs/convert/{name}", target) for name, target in repo.converts.items()],
        "tags": [_ref(name, f"refs/tags/{name}", target) for name, target in repo.tags.items()],
    }
    if asked.flag("include_prs"):
        listed["pullRequests"] = [
            _ref(str(number), f"refs/pr/{number}", target) for number, target in repo.pull_requests.items()
        ]
    return json_answer(listed)


def commits(site: Site, asked: Asked, repo: Repo, target: RepoTarget) -> Answer:
    """A page of the history, newest first; `p` counts pages from 0."""
    history = list(repo.history(commit_of(repo, target.revision or "main").id))
    page = _natural(asked.parameter("p"), default=0)
    size = min(_natural(asked.parameter("limit"), default=COMMITS_PAGE), 1000) or COMMITS_PAGE
    items = [_commit_facts(commit) for commit in history[page * size : (page + 1) * size]]
    headers = {"x-total-count": str(len(history))}
    if (page + 1) * size < len(history):
        query = [(name, value) for name, value in asked.query if name != "p"]
        headers["link"] = f'<{site.hub_url}{asked.path}?{urlencode([*query, ("p", page + 1)])}>; rel="next"'
    return json_answer(items, headers=headers)


def auth_check() -> Answer:
    return json_answer({})


def xet_read_token(site: Site, repo: Repo, commit: Commit) -> Answer:
    """The same facts in headers (Python reads these) and JSON (all others do)."""
    token, expires = site.cas.token(repo, commit)
    headers = {
        "x-xet-cas-url": site.cas_url,
        "x-xet-access-token": token,
        "x-xet-token-expiration": str(expires),
        "x-repo-commit": commit.id,
    }
    return json_answer({"casUrl": site.cas_url, "accessToken": token, "exp": expires}, headers=headers)


def whoami(caller: Caller) -> Answer:
    if caller.is_anonymous:
        raise problems.not_logged_in()
    facts = {
        "type": "user",
        "id": hashlib.sha1(caller.name.encode()).hexdigest()[:24],
        "name": caller.name,
        "fullname": caller.name.title(),
        "email": f"{caller.name}@example.org",
        "emailVerified": True,
        "isPro": False,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": {"displayName": "synthetic", "role": "read"}},
    }
    return json_answer(facts)


def search(site: Site, asked: Asked, caller: Caller, repo_kind: RepoKind) -> Answer:
    """Repos the caller may see, by id, filtered by `search` and `author`."""
    found = sorted(
        (repo for repo in site.world.repos(repo_kind) if site.world.may_see(caller, repo) and _matches(asked, repo)),
        key=lambda repo: repo.id,
    )
    left = [repo for repo in found if repo.id > cursor_of(asked)]
    size = min(_natural(asked.parameter("limit"), default=LIST_PAGE), LIST_PAGE) or LIST_PAGE
    headers = {"link": next_link(site, asked, left[size - 1].id)} if len(left) > size else {}
    return json_answer([_repo_facts(repo, commit_of(repo, "main")) for repo in left[:size]], headers=headers)


def front_matter(text: str) -> Facts:
    """The YAML head of a README, as far as it is flat: scalars and lists of scalars."""
    facts: Facts = {}
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return facts
    name = ""
    for line in lines[1:]:
        if line.strip() == "---":
            return facts
        if line.lstrip().startswith("- ") and isinstance(facts.get(name), list):
            facts[name].append(line.strip()[2:])
        elif ":" in line:
            name, _, value = line.partition(":")
            facts[name] = value.strip() or []
    return {}


def _repo_facts(repo: Repo, commit: Commit) -> Facts:
    number = hashlib.sha1(f"{repo.kind}/{repo.id}".encode()).hexdigest()[:24]
    card = _card(commit.files)
    facts: Facts = {
        "_id": number,
        "id": repo.id,
        "author": repo.id.rpartition("/")[0] or None,
        "sha": commit.id,
        "lastModified": iso_date(commit.timestamp),
        "createdAt": iso_date(min(one.timestamp for one in repo.commits.values())),
        "private": repo.private,
        "gated": "auto" if repo.gated else False,
        "disabled": repo.disabled,
        "downloads": 0,
        "likes": 0,
        "tags": _tags(card),
        "cardData": card,
        "usedStorage": sum(file.size for file in commit.files.values()),
    }
    if repo.kind is RepoKind.MODEL:
        facts |= {
            "modelId": repo.id,
            "library_name": card.get("library_name"),
            "pipeline_tag": card.get("pipeline_tag"),
        }
    if repo.kind is RepoKind.SPACE:
        facts |= {"sdk": card.get("sdk", "static"), "runtime": {"stage": "RUNNING", "hardware": {}}}
    return facts


def _card(files: Mapping[str, object]) -> Facts:
    readme = files.get("README.md")
    return front_matter(readme.content.decode(errors="replace")) if isinstance(readme, GitFile) else {}


def _tags(card: Facts) -> list[str]:
    licence = [f"license:{card['license']}"] if "license" in card else []
    listed: Iterable[str] = card["tags"] if isinstance(card.get("tags"), list) else []
    return [*listed, *licence]


def _ref(name: str, ref: str, target: str) -> Facts:
    return {"name": name, "ref": ref, "targetCommit": target}


def _commit_facts(commit: Commit) -> Facts:
    return {
        "id": commit.id,
        "title": commit.title,
        "message": "",
        "authors": [{"user": commit.author, "avatar": ""}],
        "date": iso_date(commit.timestamp),
        "formatted": {"title": commit.title, "message": ""},
    }


def _matches(asked: Asked, repo: Repo) -> bool:
    text, author = asked.parameter("search"), asked.parameter("author")
    return (not text or text.lower() in repo.id.lower()) and (not author or repo.id.startswith(f"{author}/"))


def _natural(text: str | None, *, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
