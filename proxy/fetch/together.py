"""What is asked once for all nodes of a fleet: what others found is kept, what is found, or refused, is told."""

from __future__ import annotations

from proxy.core.caller import Caller
from proxy.core.errors import OriginRefused, SlowDown
from proxy.hub.names import RepoId, Revision

from .ports import Catalogue, Turn
from .rights import is_about_the_repo


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


def refused_together(turn: Turn, caller: Caller) -> OriginRefused | SlowDown | None:
    """What the origin said to another a moment ago, if it would say the same to `caller`."""
    said = turn.refusal
    return said if said is not None and _is_for(said, caller) else None


def tell_refusal(turn: Turn, refusal: OriginRefused | SlowDown, caller: Caller) -> None:
    """Tell the others, if it is for them too."""
    if _is_for(refusal, caller):
        turn.tell_refusal(refusal)


def _is_for(refusal: OriginRefused | SlowDown, caller: Caller) -> bool:
    """What is refused to nobody in particular is refused to everybody who is nobody in particular: those with a token
    have rights and quotas of their own. That something is not there at all holds for all who may see the repo."""
    return caller.is_anonymous or (isinstance(refusal, OriginRefused) and not is_about_the_repo(refusal))
