"""The registry's dialect, as ollama and older llama.cpp speak it (HUB-PROTOCOL §5.2, §5.3). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, Final

import orjson

from proxy.core.errors import OriginLied

MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
MOST_LAYERS: Final = 1000
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")


class Agent(Enum):
    """Who asks for a manifest: its body differs. The value is the User-Agent that the origin is asked with."""

    LLAMA_CPP = "llama-cpp"
    REGISTRY = "ollama/0"

    @property
    def accept(self) -> str:
        return "application/json" if self is Agent.LLAMA_CPP else MANIFEST


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob that a manifest names."""

    sha256: str
    size: int


def agent_of(user_agent: str | None) -> Agent:
    return Agent.LLAMA_CPP if user_agent is not None and "llama-cpp" in user_agent.lower() else Agent.REGISTRY


def read_digest(text: str) -> str | None:
    """The digits of `sha256:…`; None when it is no such digest."""
    match = _DIGEST.fullmatch(text)
    return None if match is None else match[1]


def digest_of(body: bytes) -> str:
    """What a registry calls the manifest of these bytes."""
    return f"sha256:{sha256(body).hexdigest()}"


def layers_of(body: bytes) -> tuple[Layer, ...]:
    """What a manifest is made of, its configuration included. Raises OriginLied."""
    try:
        said: Any = orjson.loads(body)
        parts = [said["config"], *said.get("layers", ())]
        found = [(read_digest(part["digest"]), part["size"]) for part in parts]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise OriginLied("the origin's manifest cannot be read") from None
    if len(found) > MOST_LAYERS or not all(digest and type(size) is int and size >= 0 for digest, size in found):
        raise OriginLied("the origin's manifest names layers that cannot be")
    return tuple(Layer(digest, size) for digest, size in found if digest is not None)
