"""`/api/datasets/{id}/parquet[/{configuration}[/{split}]]`: where the conversion of a dataset to Parquet lies. Pure.

The answer is lists of addresses, by configuration and split, and all of them the Hub's own: who reads one leaves the
mirror, with its token. So they become the mirror's, which redirects, as the Hub does, to the file itself.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.core.errors import OriginLied

from . import headers
from .names import RepoKind
from .rawtarget import RawTarget
from .targets import OtherApi

_ABSOLUTE: Final = ("https://", "http://")
_LEVELS: Final = 8
"""Lists of splits of configurations are three levels; what is nested deeper is left alone."""


def is_asked(call: OtherApi) -> bool:
    """Whether the call asks for these lists (or for a file that is in them)."""
    if call.repo is None or call.repo.kind is not RepoKind.DATASET:
        return False
    after_id = 2 + len(call.repo.name.split("/"))
    return RawTarget.read(call.raw_target).segments[after_id : after_id + 1] == ("parquet",)


def at_home(body: bytes, base_url: str) -> bytes:
    """The JSON `body` with every absolute address of a place of the Hub's at `base_url` (no slash at its end) instead,
    whatever host it names. Raises OriginLied when it is no JSON."""
    try:
        return orjson.dumps(_moved(orjson.loads(body), base_url))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # the latter: nested deeper than it writes
        raise OriginLied("the origin's answer is not the JSON it is said to be") from None


def _moved(value: Any, base_url: str, levels: int = _LEVELS) -> Any:
    if isinstance(value, str):
        target = headers.here(value) if value.startswith(_ABSOLUTE) else None
        return value if target is None else base_url + target
    if isinstance(value, dict) and levels:
        return {name: _moved(member, base_url, levels - 1) for name, member in value.items()}
    if isinstance(value, list) and levels:
        return [_moved(item, base_url, levels - 1) for item in value]
    return value
