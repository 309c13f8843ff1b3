"""From a request to the Hub to its answer: who asks, which repo, may they, which page. Pure but for the counted use
of URLs.
"""

from typing import assert_never

from . import files, lfs, pages, parquet, problems, registry, trees
from .messages import FILE_KINDS, Answer, Asked, Kind, json_answer, redirect
from .paths import BadPath, PlainTarget, RepoTarget, Target, parse_target
from .problems import Problem
from .repo import Repo
from .site import Site, UrlTerms
from .world import Caller, Standing

_GIT = frozenset({Kind.GIT_REFS, Kind.GIT_PACK, Kind.LFS_BATCH})
_REGISTRY = frozenset({Kind.OCI_MANIFEST, Kind.OCI_BLOB})
_NEEDS_FILE_RIGHTS = FILE_KINDS | _GIT | _REGISTRY | {Kind.AUTH_CHECK, Kind.PARQUET, Kind.XET_TOKEN}
GRANTED = 100
"""In place of a status: the caller may, and git itself answers."""
_POSTED = frozenset({Kind.PATHS_INFO, Kind.GIT_PACK, Kind.LFS_BATCH})


def target_of(asked: Asked) -> Target:
    """What is asked for; a path that cannot be read is an unknown page here and a 400 in `answer`."""
    try:
        return parse_target(asked.path)
    except BadPath:
        return PlainTarget(Kind.OTHER)


def answer(site: Site, asked: Asked, terms: UrlTerms) -> Answer:
    """The Hub's answer. `terms` are those of a CDN address minted on the way."""
    try:
        target = parse_target(asked.path)
        caller = site.world.caller(asked.headers.get("authorization"))
        if caller.standing is Standing.BAD_TOKEN:
            raise problems.bad_token()
        match target:
            case PlainTarget():
                return _plain(site, asked, caller, target)
            case RepoTarget():
                return _of_repo(site, asked, caller, target, terms)
            case _:
                assert_never(target)
    except BadPath as bad:
        return problems.bad_request(str(bad)).answer()
    except Problem as problem:
        kind = target_of(asked).kind
        if kind in _GIT:
            problem.challenge = 'Basic realm="Authentication required", charset="UTF-8"'
        elif kind in _REGISTRY:
            problem.challenge = f'Bearer realm="{site.hub_url}/v2/token",service="synthetic hub"'
        return problem.answer()


def repo_of(site: Site, target: Target) -> Repo | None:
    """The repo a target names, whoever may see it."""
    return site.world.find(target.repo_kind, target.repo_id) if isinstance(target, RepoTarget) else None


def _plain(site: Site, asked: Asked, caller: Caller, target: PlainTarget) -> Answer:
    match target.kind, target.repo_kind:
        case Kind.WHOAMI, _:
            return pages.whoami(caller)
        case Kind.LIST, repo_kind if repo_kind is not None:
            return pages.search(site, asked, caller, repo_kind)
        case Kind.TELEMETRY, _:
            return Answer(204)
        case _ if asked.path == "/":
            return json_answer({"name": "synthetic Hub"})
        case _:
            raise problems.no_such_page()


def _of_repo(site: Site, asked: Asked, caller: Caller, target: RepoTarget, terms: UrlTerms) -> Answer:
    repo = repo_of(site, target)
    if repo is None or not site.world.may_see(caller, repo):
        raise problems.no_such_repo(caller)
    if repo.id != target.repo_id:
        return redirect(307, target.renamed(asked.raw_path, repo.id))
    if repo.disabled:
        raise problems.disabled()
    if target.kind in _NEEDS_FILE_RIGHTS and not (site.world.may_read(caller, repo) or _is_card(target)):
        raise problems.gated(caller, repo)
    if asked.method not in ({"POST"} if target.kind in _POSTED else {"GET", "HEAD"}):
        raise problems.wrong_method(asked.method)
    return _page(site, asked, repo, target, terms)


def _is_card(target: RepoTarget) -> bool:
    """Whether it is the file that the Hub shows of a gated repo to all, for they have to know what they ask for."""
    return target.kind in (Kind.RESOLVE, Kind.RESOLVE_CACHE, Kind.RAW) and target.path == "README.md"


def _page(site: Site, asked: Asked, repo: Repo, target: RepoTarget, terms: UrlTerms) -> Answer:
    match target.kind:
        case Kind.RESOLVE:
            return files.resolve(site, asked, repo, target, terms)
        case Kind.RESOLVE_CACHE:
            return files.resolve_cache(asked, repo, target)
        case Kind.RAW:
            return files.raw(asked, repo, target)
        case Kind.INFO | Kind.REVISION:
            return pages.info(site, asked, repo, files.commit_of(repo, target.revision or "main"))
        case Kind.TREE:
            return trees.tree(site, asked, repo, files.commit_of(repo, target.revision or "main"), target)
        case Kind.PATHS_INFO:
            return trees.paths_info(site, asked, repo, files.commit_of(repo, target.revision or "main"))
        case Kind.REFS:
            return pages.refs(asked, repo)
        case Kind.COMMITS:
            return pages.commits(site, asked, repo, target)
        case Kind.PARQUET:
            return parquet.parquet(site, repo, target)
        case Kind.AUTH_CHECK:
            return pages.auth_check()
        case Kind.XET_TOKEN:
            return pages.xet_read_token(site, repo, files.commit_of(repo, target.revision or "main"))
        case Kind.GIT_REFS | Kind.GIT_PACK:
            return Answer(GRANTED)
        case Kind.LFS_BATCH:
            return lfs.batch(site, asked, repo, terms)
        case Kind.OCI_MANIFEST:
            return registry.manifest(asked, repo, target.path)
        case Kind.OCI_BLOB:
            return registry.blob(site, asked, repo, target.path, terms)
        case _:
            raise problems.no_such_page()
