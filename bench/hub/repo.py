"""A repo: files, commits and the refs that name them. Mutable, because tests push, move and revoke while the Hub
runs.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from .content import Blob, BytesBlob, PathBlob, SyntheticBlob

LFS_THRESHOLD = 10_000_000
LFS_SUFFIXES = frozenset(
    {".7z", ".arrow", ".bin", ".bz2", ".ckpt", ".ftz", ".gguf", ".gz", ".h5", ".joblib", ".mlmodel", ".model"}
    | {".msgpack", ".npy", ".npz", ".onnx", ".ot", ".parquet", ".pb", ".pickle", ".pkl", ".pt", ".pth", ".rar"}
    | {".safetensors", ".tar", ".tflite", ".tgz", ".wasm", ".xz", ".zip", ".zst"}
)
_EPOCH = 1_700_000_000


class RepoKind(StrEnum):
    """The four kinds of git-backed repos, by their word in `/api/`."""

    MODEL = "models"
    DATASET = "datasets"
    SPACE = "spaces"
    KERNEL = "kernels"

    @property
    def prefix(self) -> str:
        """What stands before the id in a file URL; nothing for models."""
        return "" if self is RepoKind.MODEL else f"{self.value}/"

    @property
    def singular(self) -> str:
        return self.value.removesuffix("s")


@dataclass(frozen=True, slots=True)
class RepoSpec:
    """What a repo is, before anything is in it. `id` is `namespace/name`, or one segment for old canonical repos."""

    kind: RepoKind
    id: str
    private: bool = False
    gated: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.id.split("/")) <= 2 or not all(self.id.split("/")):
            raise ValueError(f"repo id {self.id!r} is neither name nor namespace/name")

    @classmethod
    def parse(cls, text: str) -> "RepoSpec":
        """`acme/tiny` is a model; another kind stands in front, as in `datasets/acme/rain`."""
        first, _, rest = text.partition("/")
        if rest and first in {kind.value for kind in RepoKind}:
            return cls(RepoKind(first), rest)
        return cls(RepoKind.MODEL, text)


@dataclass(frozen=True)
class GitFile:
    """A small file, kept in git itself."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def identity(self) -> str:
        return f"git:{self.oid}"

    @cached_property
    def oid(self) -> str:
        """The git blob sha1, which is also the ETag."""
        return git_blob_sha1(self.content)


@dataclass(frozen=True)
class LfsFile:
    """A large file, in git only a pointer to a blob."""

    blob: Blob

    @property
    def size(self) -> int:
        return self.blob.size

    @property
    def identity(self) -> str:
        return f"lfs:{self.blob.identity}"

    @cached_property
    def pointer(self) -> bytes:
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.blob.sha256}\nsize {self.blob.size}\n"
        ).encode()

    @cached_property
    def oid(self) -> str:
        return git_blob_sha1(self.pointer)

    @cached_property
    def xet_hash(self) -> str:
        return hashlib.sha256(b"xet:" + self.blob.sha256.encode()).hexdigest()


File = GitFile | LfsFile


@dataclass(frozen=True, slots=True)
class Commit:
    """One state of all files, by path."""

    id: str
    title: str
    parent: str | None
    author: str
    timestamp: int
    files: Mapping[str, File] = field(repr=False)
    touched: Mapping[str, str] = field(repr=False)
    """For each path the id of the commit that last changed it."""


class Repo:
    """A repo as it stands. Files are staged with `put_*` and `remove`, and appear with the next `commit`.

    Every repo begins with one empty commit on `main`.
    """

    def __init__(self, spec: RepoSpec, *, seed: int) -> None:
        self.kind = spec.kind
        self.id = spec.id
        self.private = spec.private
        self.gated = spec.gated
        self.disabled = False
        self.granted: set[str] = set()
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.pull_requests: dict[int, str] = {}
        self.converts: dict[str, str] = {}
        self.commits: dict[str, Commit] = {}
        self._seed = seed
        self._original_id = spec.id
        self._staged: dict[str, File | None] = {}
        self._unhashed: list[Blob] = []
        self.commit("initial commit")

    # -- files ----------------------------------------------------------------------------------------------------

    def put_text(self, path: str, content: bytes | str) -> GitFile:
        """Stage a small git file."""
        file = GitFile(content.encode() if isinstance(content, str) else content)
        self._staged[path] = file
        return file

    def put_blob(self, path: str, size: int, *, seed: str | None = None, sha256: str | None = None) -> SyntheticBlob:
        """Stage a large file whose content is a function; equal seeds are equal bytes, in every repo."""
        unique = f"{self._seed}/{self.kind}/{self._original_id}/{path}/{len(self.commits)}"
        blob = SyntheticBlob(seed if seed is not None else unique, size, sha256=sha256)
        self._stage_blob(path, blob)
        return blob

    def put_bytes(self, path: str, content: bytes, *, lfs: bool = False) -> Blob:
        """Stage real bytes, as a large file or a small one."""
        blob = BytesBlob(content)
        if lfs:
            self._stage_blob(path, blob)
        else:
            self._staged[path] = GitFile(content)
        return blob

    def add_folder(self, folder: Path | str, *, threshold: int = LFS_THRESHOLD) -> None:
        """Stage a real folder; large files and those with a binary suffix become LFS files. `.git` is left out."""
        root = Path(folder)
        if not root.is_dir():
            raise NotADirectoryError(f"{root} is not a folder to serve as repo {self.id}")
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root)
            if not path.is_file() or ".git" in name.parts:
                continue
            if path.suffix in LFS_SUFFIXES or path.stat().st_size > threshold:
                self._stage_blob(name.as_posix(), PathBlob(path))
            else:
                self.put_text(name.as_posix(), path.read_bytes())

    def remove(self, path: str) -> None:
        self._staged[path] = None

    def file(self, path: str, revision: str = "main") -> File:
        """The file at a path. Raises KeyError."""
        return self.commits[self.head(revision)].files[path]

    def unhashed(self) -> list[Blob]:
        """Blobs whose sha256 is not known yet; hash them off the event loop before listing them."""
        self._unhashed = [blob for blob in self._unhashed if not blob.is_hashed]
        return self._unhashed

    # -- commits and refs -----------------------------------------------------------------------------------------

    def commit(self, title: str, *, branch: str = "main", author: str = "acme") -> str:
        """Put what is staged on top of a branch (created from `main` when missing) and return the commit's id."""
        parent = self.commits.get(self.branches.get(branch, self.branches.get("main", "")))
        files: dict[str, File] = dict(parent.files) if parent else {}
        touched: dict[str, str] = dict(parent.touched) if parent else {}
        commit_id = self._commit_id(title, parent)
        for path, file in self._staged.items():
            files.pop(path, None)
            if file is not None:
                files[path] = file
            touched[path] = commit_id
        self._staged = {}
        number = len(self.commits)
        self.commits[commit_id] = Commit(
            commit_id, title, parent.id if parent else None, author, _EPOCH + 60 * number, files, touched
        )
        self.branches[branch] = commit_id
        return commit_id

    def branch(self, name: str, at: str = "main") -> str:
        """Create or move a branch."""
        self.branches[name] = self.head(at)
        return self.branches[name]

    def tag(self, name: str, at: str = "main") -> str:
        self.tags[name] = self.head(at)
        return self.tags[name]

    def pull_request(self, number: int, at: str = "main") -> str:
        """Create or move `refs/pr/{number}`."""
        self.pull_requests[number] = self.head(at)
        return self.pull_requests[number]

    def convert(self, name: str, at: str = "main") -> str:
        """Create or move `refs/convert/{name}`."""
        self.converts[name] = self.head(at)
        return self.converts[name]

    def head(self, revision: str = "main") -> str:
        """The commit id a revision stands for: branch, tag, ref, `HEAD`, or a (short) commit id. Raises KeyError."""
        found = self.find(revision)
        if found is None:
            raise KeyError(f"{self.id} has no revision {revision!r}")
        return found

    def find(self, revision: str) -> str | None:
        """As `head`, None when there is none."""
        if revision in self.commits:
            return revision
        named = self._refs().get(revision)
        return named if named is not None else self._short(revision)

    def history(self, commit_id: str) -> Iterable[Commit]:
        """Newest first."""
        at: str | None = commit_id
        while at is not None:
            commit = self.commits.get(at)
            if commit is None:
                return
            yield commit
            at = commit.parent

    def delete_branch(self, name: str) -> None:
        del self.branches[name]

    def forget(self, commit_id: str) -> None:
        """Let a commit be gone, as a squash of the history does. The caller moves the refs that named it."""
        del self.commits[commit_id]

    # -- rights ---------------------------------------------------------------------------------------------------

    def grant(self, user: str) -> None:
        """Let a user read a private repo, or the files of a gated one."""
        self.granted.add(user)

    def revoke(self, user: str) -> None:
        self.granted.discard(user)

    def disable(self) -> None:
        self.disabled = True

    def _refs(self) -> dict[str, str]:
        named = {"HEAD": self.branches.get("main", "")}
        named |= {f"refs/pr/{number}": target for number, target in self.pull_requests.items()}
        named |= {f"refs/convert/{name}": target for name, target in self.converts.items()}
        named |= {f"~{name}": target for name, target in self.converts.items()}
        named |= {f"refs/tags/{name}": target for name, target in self.tags.items()} | self.tags
        named |= {f"refs/heads/{name}": target for name, target in self.branches.items()} | self.branches
        return named

    def _short(self, prefix: str) -> str | None:
        if not 5 <= len(prefix) < 40:
            return None
        matches = [commit_id for commit_id in self.commits if commit_id.startswith(prefix)]
        return matches[0] if len(matches) == 1 else None

    def _stage_blob(self, path: str, blob: Blob) -> None:
        self._staged[path] = LfsFile(blob)
        if not blob.is_hashed:
            self._unhashed.append(blob)

    def _commit_id(self, title: str, parent: Commit | None) -> str:
        digest = hashlib.sha1(f"{self._seed}/{self.kind}/{self._original_id}/{len(self.commits)}/{title}".encode())
        digest.update((parent.id if parent else "").encode())
        for path, file in self._staged.items():
            digest.update(f"\n{path}\0{file.identity if file else ''}".encode())
        return digest.hexdigest()


def git_blob_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
