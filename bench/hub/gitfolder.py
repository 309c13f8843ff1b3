"""Real git repos behind the synthetic ones, served by the real `git http-backend`.

Commits are made with `git fast-import` and so have ids of their own, not those of the API. A state of the refs is one
folder, which never changes: a fetch that began on an older state ends on it.
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from .messages import Answer, Asked, Whole
from .repo import Commit, File, GitFile, Repo

_MODE = "100644"


class GitFolder:
    """The folder in which the repos are made, each when it is first asked for. `close` removes it."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._making = asyncio.Lock()

    async def answer(self, repo: Repo, asked: Asked, service_path: str) -> Answer:
        """What git answers at `service_path` (`info/refs`, `git-upload-pack`) of the repo as it is now."""
        folder = await self._made(repo)
        return _read_cgi(await _git("http-backend", env=_cgi(folder, asked, service_path), given=asked.body))

    def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def _made(self, repo: Repo) -> Path:
        async with self._making:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="synthetic-hub-git-")
            state = f"{repo.kind}/{repo.id}/{sorted(repo.branches.items())}/{sorted(repo.tags.items())}"
            folder = Path(self._folder.name) / f"{hashlib.sha256(state.encode()).hexdigest()[:24]}.git"
            if not folder.exists():
                await _git("init", "--quiet", "--bare", "--initial-branch=main", str(folder))
                await _git("-C", str(folder), "fast-import", "--quiet", given=b"".join(_stream(repo)))
            return folder


def _stream(repo: Repo) -> Iterator[bytes]:
    """The repo in the words of `git fast-import`."""
    marks: dict[str, int] = {}
    for commit in _oldest_first(repo):
        for file in commit.files.values():
            if file.oid not in marks:
                marks[file.oid] = len(marks) + 1
                yield b"blob\nmark :%d\n%b" % (marks[file.oid], _data(_in_git(file)))
        marks[commit.id] = len(marks) + 1
        yield from _commit(commit, marks)
    for name, commit_id in repo.branches.items():
        yield b"reset refs/heads/%b\nfrom :%d\n\n" % (name.encode(), marks[commit_id])
    for name, commit_id in repo.tags.items():
        yield b"reset refs/tags/%b\nfrom :%d\n\n" % (name.encode(), marks[commit_id])


def _oldest_first(repo: Repo) -> Iterable[Commit]:
    heads = {*repo.branches.values(), *repo.tags.values()}
    found = {commit.id: commit for head in heads for commit in repo.history(head)}
    return [found[commit_id] for commit_id in repo.commits if commit_id in found]


def _commit(commit: Commit, marks: dict[str, int]) -> Iterator[bytes]:
    who = f"{commit.author} <{commit.author}@synthetic.example> {commit.timestamp} +0000"
    yield f"commit refs/heads/main\nmark :{marks[commit.id]}\nauthor {who}\ncommitter {who}\n".encode()
    yield _data(commit.title.encode())
    if commit.parent in marks:
        yield b"from :%d\n" % marks[commit.parent]
    yield b"deleteall\n"
    for path, file in commit.files.items():
        yield f"M {_MODE} :{marks[file.oid]} {_quoted(path)}\n".encode()


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _in_git(file: File) -> bytes:
    return file.content if isinstance(file, GitFile) else file.pointer


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _cgi(folder: Path, asked: Asked, service_path: str) -> dict[str, str]:
    """RFC 3875. A gzipped body was unpacked on its way in, so its coding is not said."""
    protocol = asked.headers.get("git-protocol", "")
    return {
        "GIT_PROJECT_ROOT": str(folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": protocol,
        "HTTP_GIT_PROTOCOL": protocol,
        "PATH_INFO": f"/{service_path}",
        "REQUEST_METHOD": asked.method,
        "QUERY_STRING": asked.raw_path.partition("?")[2],
        "CONTENT_TYPE": asked.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(asked.body)),
        "REMOTE_ADDR": "127.0.0.1",
    }


def _read_cgi(output: bytes) -> Answer:
    head, _, body = output.partition(b"\r\n\r\n")
    fields = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    status = int(fields.pop("status", "200").split()[0])
    return Answer(status, fields, Whole(body))


async def _git(*words: str, given: bytes = b"", env: dict[str, str] | None = None) -> bytes:
    process = await asyncio.create_subprocess_exec(
        "git",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **(env or {})},
    )
    out, said = await process.communicate(given)
    if process.returncode:
        raise RuntimeError(f"git {words[0]} ended with {process.returncode}: {said.decode(errors='replace')}")
    return out
