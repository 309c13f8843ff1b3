"""Into and out of the mirror by file: bundles, and caches of others as seed.

What comes in is proven by its digest like what comes from the origin, and files are named only after their bytes are
here. A bundle brings listings, branches and who may read (if that is everybody); a seed brings bytes and what they are,
and the origin is asked once for the rest.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from proxy.catalogue.catalogue import Catalogue
from proxy.core.clock import Clock
from proxy.core.errors import BlobDropped, OriginLied, SourceChanged
from proxy.core.rights import Plane
from proxy.fetch.mirror import Mirror
from proxy.hub.facts import FileFacts, Listing, ListingKey
from proxy.hub.names import FileTarget, RepoId, Revision
from proxy.service.doctor import repo_named

from .bundle import (
    FORMAT,
    BundledFile,
    BundledListing,
    BundledRepo,
    BundleRefused,
    BundleWriter,
    Manifest,
    Opened,
    key_text,
    opened,
)
from .choice import Choice
from .inventory import InventoryDesk, in_batches, repo_at
from .local import LocalPart, LocalSource
from .proof import Verifier
from .runner import JobFailed, Progress
from .seeds import Seed, facts_named, hf_cache, olah_cache

MOST_TOLD: Final = 100


class Transfer:
    """Carries out `export`, `import` and `seed`."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        catalogue: Catalogue,
        inventory: InventoryDesk,
        verifier: Verifier,
        state: Path,
        clock: Clock,
        imported: Callable[[int], None],
    ) -> None:
        """`imported` is told of bytes that were read from files to be kept."""
        self._mirror = mirror
        self._catalogue = catalogue
        self._inventory = inventory
        self._verifier = verifier
        self._key_file = state / "bundle.key"
        self._clock = clock
        self._imported = imported

    # --- out ----------------------------------------------------------------------------------------------------

    async def export(self, order: dict[str, Any], progress: Progress) -> None:
        """Write repos to a bundle. Raises JobFailed when one of the files is not here whole."""
        path = Path(order["path"])
        if await asyncio.to_thread(path.exists):
            raise JobFailed(f"{path} exists and is left as it is")
        progress.files = progress.bytes = 0
        repos: list[BundledRepo] = []
        facts: dict[str, tuple[RepoId, FileFacts]] = {}
        for name in order["repos"]:
            repos.append(await self._bundled(name, Choice(tuple(order["include"]), tuple(order["exclude"])), facts))
        manifest = Manifest(format=FORMAT, made=int(self._clock.wall()), repos=repos)
        blobs = manifest.blobs()
        progress.files_total, progress.bytes_total = len(blobs), sum(blob.size for blob in blobs)
        draft = path.with_name(f".{path.name}.part")
        try:
            with await asyncio.to_thread(_created, draft) as file:
                writer = BundleWriter(file, manifest.made)
                await asyncio.to_thread(writer.manifest, manifest)
                for blob in blobs:
                    progress.note = f"{blob.member[:24]}…"
                    await self._write(writer, blob, *facts[blob.member], progress)
                key = await asyncio.to_thread(self._key)
                await asyncio.to_thread(writer.sign, key)
                await asyncio.to_thread(_durable, file)
            await asyncio.to_thread(draft.rename, path)
        finally:
            await asyncio.to_thread(draft.unlink, missing_ok=True)
        progress.note = ""
        progress.result = {"path": str(path), "key": key_text(key.public_key()), "repos": order["repos"]}

    async def _bundled(
        self, name: str, choice: Choice, facts_by_member: dict[str, tuple[RepoId, FileFacts]]
    ) -> BundledRepo:
        (repo, revision), survey = repo_at(name), self._inventory.survey
        commit = await self._inventory.commit_of(repo, revision)
        refs = await asyncio.to_thread(survey.refs, repo)
        files: list[BundledFile] = []
        async for batch in in_batches(lambda: survey.files(repo, commit)):
            for _, path, facts in batch:
                if choice.takes(path):
                    files.append(BundledFile(path=path, etag=facts.etag, size=facts.size, xet=facts.xet))
                    facts_by_member.setdefault(files[-1].member, (repo, facts))
        listings = await asyncio.to_thread(lambda: list(survey.listings(repo)))
        commits = {one.commit for one in await asyncio.to_thread(survey.commits, repo)} - {commit}
        return BundledRepo(
            repo=str(repo),
            commit=commit,
            refs=[revision for revision, ref in refs.items() if ref.commit == commit],
            public=sorted(await asyncio.to_thread(survey.public_planes, repo)),
            files=files,
            listings=[
                BundledListing(
                    text=text,
                    status=listing.status,
                    headers=list(listing.headers),
                    body=base64.b64encode(listing.body).decode(),
                    immutable=listing.immutable,
                )
                for text, listing in listings
                if not any(other in text for other in commits)
            ],
        )

    async def _write(
        self, writer: BundleWriter, blob: BundledFile, repo: RepoId, facts: FileFacts, progress: Progress
    ) -> None:
        hasher = facts.digest.hasher(facts.size)
        written = 0
        async for piece in self._verifier.content(repo, facts):
            if not written:
                await asyncio.to_thread(writer.begin, blob.member, blob.size)
            await asyncio.to_thread(_both, hasher, writer, piece)
            written += len(piece)
            progress.bytes += len(piece)
        if not written:
            raise JobFailed(f"{blob.path} of {repo} is not here whole; fetch it first: penstock warm {repo}")
        if hasher.hexdigest() != facts.digest.hex:
            raise JobFailed(f"{blob.path} of {repo} is wrong on disk; see: penstock verify {repo}")
        await asyncio.to_thread(writer.end, blob.size)
        progress.files += 1

    def _key(self) -> Ed25519PrivateKey:
        """The node's own key, made when it is first used. Raises OSError."""
        try:
            made = Ed25519PrivateKey.generate()
            descriptor = os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
                file.flush()
                os.fsync(file.fileno())
            return made
        except FileExistsError:
            pass
        try:
            found = load_pem_private_key(self._key_file.read_bytes(), None)
        except ValueError:
            found = None
        if not isinstance(found, Ed25519PrivateKey):
            raise OSError(f"{self._key_file} holds no key; remove it, and the next export makes another")
        return found

    # --- in -----------------------------------------------------------------------------------------------------

    async def take(self, order: dict[str, Any], progress: Progress) -> None:
        """Import a bundle. Raises JobFailed when it is refused; then nothing of it was kept."""
        path, trusted = Path(order["path"]), set(order["trust"])
        if await asyncio.to_thread(self._key_file.exists):
            trusted.add(key_text((await asyncio.to_thread(self._key)).public_key()))
        progress.files = progress.bytes = 0
        progress.note = "comparing with the signature"
        progress.bytes_total = (await asyncio.to_thread(path.stat)).st_size

        def read(count: int) -> None:
            progress.bytes += count

        try:
            bundle = await asyncio.to_thread(opened, path, trusted, read)
        except BundleRefused as refused:
            raise JobFailed(f"{path} is refused: {refused}") from None
        progress.bytes, blobs = 0, bundle.manifest.blobs()
        progress.files_total = sum(len(repo.files) for repo in bundle.manifest.repos)
        progress.bytes_total = sum(blob.size for blob in blobs)
        for repo in bundle.manifest.repos:
            await self._take_repo(path, bundle, repo, progress)
        progress.note = ""
        repos = [f"{one.repo}@{one.commit}" for one in bundle.manifest.repos]
        progress.result = {"signer": bundle.signer, "repos": repos}

    async def _take_repo(self, path: Path, bundle: Opened, bundled: BundledRepo, progress: Progress) -> None:
        repo = repo_named(bundled.repo)
        for file in bundled.files:
            progress.note = file.path
            part = LocalPart(path, bundle.offsets.get(file.member, 0), file.size)
            await self._keep(_facts(file), FileTarget(repo, Revision(bundled.commit), file.path), [part], progress)
        now = self._clock.wall()
        for listing in bundled.listings:
            fields = tuple((name, value) for name, value in listing.headers)
            body = base64.b64decode(listing.body)
            kept = Listing(listing.status, fields, body, now, listing.immutable)
            await self._catalogue.keep_listing(ListingKey(repo, listing.text), kept)
        for revision in bundled.refs:
            await self._catalogue.keep_ref(repo, Revision(revision), bundled.commit)
        for plane in bundled.public:
            await self._catalogue.keep_public(repo, Plane(plane))

    async def _keep(self, facts: FileFacts, target: FileTarget, parts: list[LocalPart], progress: Progress) -> None:
        await self._mirror.take_in(target, facts, LocalSource(parts, self._imported))
        progress.files += 1
        progress.bytes += facts.size

    # --- seeds --------------------------------------------------------------------------------------------------

    async def seed(self, order: dict[str, Any], progress: Progress) -> None:
        """Take in what a cache of another program holds; what of it is wrong is left out and named."""
        folder = Path(order["path"])
        found: Iterator[Seed] = {"hf-cache": hf_cache, "olah": olah_cache}[order["kind"]](folder)
        seeds = await asyncio.to_thread(list, found)
        if not seeds:
            raise JobFailed(f"there is nothing of that kind in {folder} that the node can read")
        progress.files = progress.bytes = 0
        progress.files_total, progress.bytes_total = len(seeds), sum(seed.facts.size for seed in seeds)
        left_out: dict[str, str] = {}
        for seed in seeds:
            progress.note = f"{seed.target.repo}: {seed.target.path}"
            await self._take_seed(seed, left_out, progress)
        progress.note = ""
        progress.result = {"left_out": left_out, "repos": sorted({str(seed.target.repo) for seed in seeds})}
        if not progress.files:
            first = next(iter(left_out.values()))
            raise JobFailed(f"none of the {len(seeds)} files could be taken; the first: {first}")

    async def _take_seed(self, seed: Seed, left_out: dict[str, str], progress: Progress) -> None:
        try:
            if not seed.facts.can_be:
                raise SourceChanged("no file has that length and that digest")
            await self._keep(seed.facts, seed.target, list(seed.parts), progress)
        except (OriginLied, BlobDropped) as wrong:
            if len(left_out) < MOST_TOLD:
                left_out[f"{seed.target.repo}@{seed.target.revision}/{seed.target.path}"] = str(wrong)


def _facts(file: BundledFile) -> FileFacts:
    return replace(facts_named(file.etag, file.size), xet=file.xet)


def _created(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640), "wb")


def _durable(file: Any) -> None:
    file.flush()
    os.fdatasync(file.fileno())


def _both(hasher: Any, writer: BundleWriter, piece: bytes) -> None:
    hasher.update(piece)
    writer.write(piece)
