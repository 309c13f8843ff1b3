"""Which files of a repo are meant, as `hf download --include --exclude` means it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Choice:
    """Files that match one of `include` (all, when there is none) and none of `exclude`.

    A pattern is a glob over the whole path; one that ends in `/` means all that is under it."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, path: str) -> bool:
        wanted = not self.include or any(fnmatchcase(path, _glob(pattern)) for pattern in self.include)
        return wanted and not any(fnmatchcase(path, _glob(pattern)) for pattern in self.exclude)


def _glob(pattern: str) -> str:
    return f"{pattern}*" if pattern.endswith("/") else pattern
