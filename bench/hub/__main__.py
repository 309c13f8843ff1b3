"""`python -m bench.hub`: a synthetic Hugging Face Hub on loopback, until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from . import control, demo, planting
from .faults import Faults
from .paths import quote_path
from .repo import Repo, RepoKind, RepoSpec
from .server import Address, SyntheticHub
from .units import parse_rate, parse_seconds, parse_size
from .world import World

_EXAMPLE = '{"add": [{"act": "cut", "after": 1000000, "kinds": ["cdn"], "times": 1}]}'


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 after a clean end, 1 when it cannot serve, 2 for a wrong command line."""
    options = _parser().parse_args(arguments)
    try:
        world = _world_of(options)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(world, options))
        return 0
    except (OSError, ValueError) as error:
        print(f"bench.hub: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.hub", description="A synthetic Hugging Face Hub.")
    parser.add_argument("--listen", type=_address, default=Address(), metavar="HOST:PORT", help="the Hub (port 0: any)")
    parser.add_argument("--cdn", type=_address, default=Address(), metavar="HOST:PORT", help='its "CDN" (port 0: any)')
    parser.add_argument("--name", default="", metavar="HOST", help="host in the addresses given out, if another")
    parser.add_argument(
        "--ready-file", type=Path, metavar="F", help="write addresses and pid here (JSON) when listening"
    )
    parser.add_argument(
        "--repo",
        type=_folder,
        action="append",
        default=[],
        metavar="ORG/NAME=DIR",
        help="serve a folder as a model (or datasets/ORG/NAME=DIR)",
    )
    parser.add_argument(
        "--model",
        type=_synthetic,
        action="append",
        default=[],
        metavar="ORG/NAME:PATH=SIZE[@SHA256]",
        help="add a synthetic file to a model; repeat for more files; of one too large to be hashed the digest is said",
    )
    parser.add_argument(
        "--catalogue", type=Path, metavar="F", help="add the models of this file (JSON, see `planting`), hashed at once"
    )
    parser.add_argument("--demo", action="store_true", help="a default world: public, private and gated repos")
    parser.add_argument("--size", type=_quantity(parse_size), default=64 << 20, help="one shard of the demo (64MiB)")
    parser.add_argument("--bandwidth", type=_quantity(parse_rate), help="shared by all transfers, such as 50MB/s")
    parser.add_argument("--connection-bandwidth", type=_quantity(parse_rate), help="of each transfer")
    parser.add_argument("--latency", type=_quantity(parse_seconds), default=0.0, help="of metadata, such as 20ms")
    parser.add_argument("--no-xet", action="store_true", help="announce large files as plain LFS files")
    parser.add_argument("--seed", type=int, default=7, help="worlds of one seed are alike to the byte")
    return parser


def _world_of(options: argparse.Namespace) -> World:
    world = World(seed=options.seed)
    if options.demo or not (options.repo or options.model or options.catalogue):
        demo.build(world, options.size)
    if options.catalogue:
        planting.plant(world, json.loads(options.catalogue.read_bytes())["repos"])
        planting.hash_all(world)
    for repo_id, folder in options.repo:
        world.add_folder(repo_id, folder)
    repos: dict[str, Repo] = {}
    for repo_id, path, size, digest in options.model:
        repo = repos.setdefault(repo_id, _existing_or_new(world, RepoSpec.parse(repo_id)))
        repo.put_blob(path, size, sha256=digest)
    for repo in repos.values():
        repo.commit("Upload files")
    return world


def _existing_or_new(world: World, spec: RepoSpec) -> Repo:
    try:
        return world.repo(spec.id, kind=spec.kind)
    except KeyError:
        return world.add(spec)


async def _serve(world: World, options: argparse.Namespace) -> None:
    faults = Faults(options.bandwidth, options.connection_bandwidth, options.latency)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    listen, cdn = (replace(address, name=options.name) for address in (options.listen, options.cdn))
    async with SyntheticHub.open(world, faults, listen=listen, cdn=cdn, xet=not options.no_xet) as hub:
        _announce(hub, world)
        if options.ready_file:
            _write_whole(options.ready_file, json.dumps(_addresses(hub)))
        await ended.wait()


def _announce(hub: SyntheticHub, world: World) -> None:
    print(
        f"synthetic Hub on {hub.url}, its CDN on {hub.cdn_url}\n\n  export HF_ENDPOINT={hub.url} HF_HUB_DISABLE_XET=1\n"
    )
    elsewhere = " ".join(f"--origin-redirect-host {url.partition('//')[2]}" for url in (hub.cdn_url, hub.cas_url))
    print(f"  penstock serve --origin {hub.url} {elsewhere}\n")
    for kind in RepoKind:
        for repo in world.repos(kind):
            marks = [mark for mark, on in (("private", repo.private), ("gated", repo.gated)) if on]
            print(f"  {kind.singular:8} {repo.id}  {' '.join(marks)}")
    for user in world.users.values():
        print(f"  user     {user.name}  HF_TOKEN={user.token}")
    first = next((repo for repo in world.repos(RepoKind.MODEL) if not (repo.private or repo.gated)), None)
    if first is not None:
        path = next(iter(first.commits[first.head()].files), "README.md")
        print(f"\n  hf download {first.id}\n  curl -LI {hub.url}/{first.id}/resolve/main/{quote_path(path)}")
    print(
        f"  curl {hub.url}{control.PREFIX}counters\n  curl {hub.url}{control.PREFIX}faults -d '{_EXAMPLE}'", flush=True
    )


def _addresses(hub: SyntheticHub) -> dict[str, str | int]:
    return {"url": hub.url, "cdn_url": hub.cdn_url, "cas_url": hub.cas_url, "pid": os.getpid()}


def _write_whole(path: Path, text: str) -> None:
    """Whoever sees the file sees all of it."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(path)


def _quantity(parse: Callable[[str], float]) -> Callable[[str], float]:
    """As a type of argparse, so that its message is the parser's own."""

    def convert(text: str) -> float:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:0")
    return Address(host.strip("[]"), int(port))


def _folder(text: str) -> tuple[str, Path]:
    repo_id, equals, folder = text.partition("=")
    if not equals or not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not ORG/NAME=DIR with an existing folder")
    return repo_id, Path(folder)


def _synthetic(text: str) -> tuple[str, str, int, str | None]:
    file, equals, told = text.rpartition("=")
    size, _, digest = told.partition("@")
    repo_id, colon, path = file.partition(":")
    if not (equals and colon and path):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not ORG/NAME:PATH=SIZE, such as acme/tiny:model.safetensors=1GiB"
        )
    return repo_id, path, int(_quantity(parse_size)(size)), digest or None


if __name__ == "__main__":
    sys.exit(main())
