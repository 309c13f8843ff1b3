"""What the fixtures of this folder hand out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from multidict import CIMultiDictProxy


@dataclass(frozen=True)
class Reply:
    """A response, not decoded and not followed; header names in any case."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.headers[name]

    def __contains__(self, name: str) -> bool:
        return name in self.headers


Ask = Callable[..., Awaitable[Reply]]
Mint = Callable[[], Awaitable[str]]
