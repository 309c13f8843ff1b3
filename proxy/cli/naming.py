"""How a person names a repo, a blob, a size; what is none ends the command."""

from __future__ import annotations

from pathlib import Path

from proxy.core.blob import BlobKey
from proxy.core.secret import Secret
from proxy.core.sizes import parse_size

from .codes import Exit
from .talk import fail


def repo_and_revision(text: str) -> tuple[str, str]:
    """`acme/tiny@v1` is the repo and `v1`; without a revision it is `main`."""
    name, revision = repo_perhaps_at(text)
    return name, revision or "main"


def repo_perhaps_at(text: str) -> tuple[str, str | None]:
    """As `repo_and_revision`; without a revision it is none. One that is empty, as a variable of the shell is that was
    never set, must not be taken for all of them."""
    name, at, revision = text.partition("@")
    if not name or (at and not revision):
        fail(Exit.USAGE, f"{text!r} names no repo", ["write it like acme/tiny or datasets/acme/rows@main"])
    return name, revision or None


def size_or_exit(text: str | None) -> int | None:
    """The bytes meant by `text`."""
    if text is None:
        return None
    try:
        return parse_size(text.removesuffix("/s"))
    except ValueError as error:
        fail(Exit.USAGE, str(error))


def key_or_exit(text: str) -> BlobKey:
    """The key of a blob; bare hexadecimal digits are a sha256."""
    try:
        return BlobKey.parse(text if ":" in text else f"sha256:{text}")
    except ValueError:
        fail(Exit.USAGE, f"{text!r} is no key of a blob", ["write it like sha256: and 64 hexadecimal digits"])


def token_in(file: Path) -> Secret:
    """The token that a file holds."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is no text"
        fail(Exit.USAGE, f"the token file {file} cannot be read", [why])
    if not text:
        fail(Exit.USAGE, f"the token file {file} holds no token")
    if not text.isprintable() or " " in text:
        fail(Exit.USAGE, f"the token file {file} holds more than a token")
    return Secret(text)
