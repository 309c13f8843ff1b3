"""What a branch means, asked once for all nodes of a fleet: what others found is kept, what is found is told."""

from __future__ import annotations

from proxy.hub.names import RepoId, Revision

from .ports import Catalogue, Turn


async def take_ref(turn: Turn, catalogue: Catalogue, repo: RepoId, revision: Revision) -> str | None:
    """The commit of `revision`, as another node found it; kept here, unless we have asked later."""
    if revision.is_commit:
        return revision.text
    if turn.ref is None:
        return None
    await catalogue.keep_ref(repo, revision, turn.ref.commit, turn.ref.checked_at)
    return turn.ref.commit


def tell_ref(turn: Turn, catalogue: Catalogue, repo: RepoId, revision: Revision, ttl: float) -> str | None:
    """Tell the other nodes what commit `revision` means, true for `ttl` seconds from when it was asked; gives it."""
    if revision.is_commit:
        return revision.text
    ref = catalogue.ref(repo, revision)
    if ref is None:
        return None
    turn.tell_ref(ref, ttl)
    return ref.commit
