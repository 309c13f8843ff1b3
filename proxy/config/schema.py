"""Every knob: its section, its default, its reason. The description is what `config init` and the reference print.

Sizes and durations take human spellings ("500GiB", "30s"). A field marked `reload=True` is taken over on SIGHUP.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from proxy.core.sizes import GIB, KIB, MIB

from .admin import AdminSection
from .cluster import ClusterSection
from .origins import MountedOrigin, OriginSection
from .spelling import AnchoredPath, Duration, DurationOrOff, Section, Size, SizeOrOff, http_url, knob
from .tracing import TracingSection


class Address(Section):
    """Where to listen: `host:port`; port 0 lets the kernel choose."""

    host: str
    port: int = Field(ge=0, le=65535)

    @classmethod
    def parse(cls, text: str) -> Self:
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal():
            raise ValueError(f"{text!r} is not host:port; write it like 127.0.0.1:8080 or [::1]:8080")
        return cls(host=host.removeprefix("[").removesuffix("]"), port=int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone can reach it."""
        return self.host == "localhost" or self.host.startswith("127.") or self.host == "::1"

    def overlaps(self, other: Address) -> bool:
        """Whether some connections could reach either: the same port of one host, or of every address and any. The
        kernel lets both listen, and gives those of this machine to the nearer."""
        everywhere = not {self.host, other.host}.isdisjoint(("0.0.0.0", "::"))
        return 0 < self.port == other.port and (everywhere or self.host == other.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _address(value: object) -> object:
    return value if isinstance(value, Address | dict) else Address.parse(str(value))


ListenAddress = Annotated[Address, BeforeValidator(_address)]


class ServerSection(Section):
    """What the node listens on."""

    listen: ListenAddress = knob("127.0.0.1:8080", "Where clients come in (HF_ENDPOINT points here).")
    admin: ListenAddress = knob("127.0.0.1:8081", "Metrics, health and the admin API; never share it with clients.")
    workers: int = knob(1, "Worker processes; each takes its share of connections from the kernel.", ge=1, le=256)
    external_url: str | None = knob(
        None, "The address clients use, for absolute links; from the Host header of the request when not set."
    )
    ready_file: AnchoredPath | None = knob(None, "Write a JSON file with addresses and pids here once the node serves.")
    secret_file: AnchoredPath | None = knob(
        None,
        "File with the secret (at least 32 bytes) under which addresses handed to clients are signed. Give all nodes "
        "behind one address the same; when not set, the node makes its own next to its catalogue.",
    )
    tls_certificate: AnchoredPath | None = knob(
        None,
        "PEM certificate chain; with tls_key the data port speaks TLS. SIGHUP takes over what is in both files then.",
    )
    tls_key: AnchoredPath | None = knob(None, "PEM private key of tls_certificate.")
    supervised: bool = knob(
        False,
        "Give even a single worker a parent process: SIGUSR2 then puts a new program into the place of the running one "
        "without a refused or cut connection. Several workers always have one.",
    )
    leave_timeout: Duration = knob(
        "1h", "After SIGUSR2: let downloads under way finish in the old workers for at most this long."
    )
    drain_delay: Duration = knob("0s", "After SIGTERM: be unready this long before the port closes (load balancers).")
    drain_timeout: Duration = knob("300s", "After SIGTERM: let downloads under way finish for at most this long.")

    @property
    def has_parent(self) -> bool:
        """Whether workers serve under a supervisor; else one process does everything."""
        return self.supervised or self.workers > 1

    @field_validator("external_url")
    @classmethod
    def _external(cls, value: str | None) -> str | None:
        return None if value is None else http_url(value)

    @model_validator(mode="after")
    def _tls_pair(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together; set both or neither")
        return self


class LimitsSection(Section):
    """What one client may cost."""

    header_bytes: Size = knob("16KiB", "Longest request head; longer ones are refused with 431.")
    header_timeout: Duration = knob("10s", "A request head must be complete this soon after its first byte.")
    body_bytes: Size = knob("1MiB", "Longest request body (paths-info and the like); longer ones get 413.")
    body_timeout: Duration = knob("15s", "A request body must be complete this soon.")
    git_body_bytes: Size = knob(
        "64MiB", "Longest question of git (a fetch that says what it has); longer ones get 413."
    )
    git_body_timeout: Duration = knob("60s", "A question of git must be complete this soon.")
    keepalive_timeout: Duration = knob("75s", "An idle connection is closed after this long.")
    connections: int = knob(20_000, "Open client connections per worker; further ones are closed at once.", ge=1)
    connections_per_client: int = knob(
        1024, "Open connections per client address and worker; further ones are closed at once.", ge=1, reload=True
    )
    send_buffer: Size = knob(
        "256KiB",
        "Most bytes waiting in the kernel behind a slow reader, per connection; a fast one is given 50 ms of its pace.",
        ge=16 * KIB,
        le=64 * MIB,
    )
    send_timeout: Duration = knob("60s", "A client that takes no byte for this long is let go.", gt=0)


class HotSection(Section):
    """Answers kept ready in memory, for a second each: small files, heads and redirects that anybody may have."""

    memory: Size = knob("64MiB", "Most bytes of them (per worker); 0 keeps none, and sends every request the long way.")
    entries: int = knob(10_000, "Most of them (per worker); 0 keeps none.", ge=0)

    @property
    def is_on(self) -> bool:
        return self.memory > 0 and self.entries > 0


class Disk(Section):
    """One disk of the cache."""

    path: AnchoredPath = knob(..., "A folder on that disk; made if it does not exist.")
    size: Size | None = knob(None, "Most bytes to keep there; 90 % of what is free at start when not set.", gt=0)


def _disk(value: object) -> object:
    """`DIR` or `DIR=SIZE`, as on the command line."""
    if isinstance(value, Disk | dict):
        return value
    path, equals, size = str(value).rpartition("=")
    if not isinstance(value, str) or not (path if equals else value):
        raise ValueError(f"{value!r} names no folder; write it like /data/a or /data/a=500GiB")
    return {"path": path, "size": size} if equals else {"path": value}


DiskSpec = Annotated[Disk, BeforeValidator(_disk)]


def default_cache_folder() -> Path:
    """`$XDG_CACHE_HOME/penstock`, else `~/.cache/penstock`; `/var/cache/penstock` for a user without a home."""
    folder = os.environ.get("XDG_CACHE_HOME")
    if folder:
        return Path(folder) / "penstock"
    try:
        return Path.home() / ".cache" / "penstock"
    except RuntimeError:
        return Path("/var/cache/penstock")


def _default_disks() -> tuple[Disk, ...]:
    return (Disk(path=default_cache_folder() / "disk", size=50 * GIB),)


class StoreSection(Section):
    """Where the bytes live."""

    disks: tuple[DiskSpec, ...] = Field(
        default_factory=_default_disks,
        description="The disks, as DIR or DIR=SIZE (or tables with path and size). Slices are spread over them.",
        json_schema_extra={"reload": False},
        min_length=1,
    )
    state: AnchoredPath | None = knob(
        None, "Folder of the catalogue (small, rebuildable); next to the first disk when not set."
    )
    soft_limit: float = knob(0.95, "Evict down to this share of a disk's size.", gt=0.1, le=1.0)
    free_floor: Size = knob("1GiB", "Always leave this much free on the file system.")
    threads_per_disk: int = knob(
        4, "Threads for the reads and writes of one disk, so that one that hangs stops no other.", ge=1
    )
    durable_every: Size = knob("64MiB", "fdatasync after this many bytes of a fill; what a power cut can cost.")

    scrub_every: DurationOrOff = knob(
        "14d",
        "Read everything that is kept this often, to find what has rotted (it is dropped, and fetched anew when it is "
        "wanted); off is never of its own accord: see `penstock scrub`.",
        reload=True,
    )
    scrub_rate: Size = knob("32MiB", "Bytes a second that this may read, over all disks.", ge=MIB, reload=True)

    @field_validator("disks", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class FreshnessSection(Section):
    """How long what the origin said is taken as still true."""

    ref_ttl: Duration = knob("30s", "A branch, tag or listing at a branch is asked again after this long.", reload=True)
    listing_ttl: Duration = knob("300s", "Counters and scan results at a fixed commit are asked again after this long.")
    stale_for: Duration = knob("7d", "Refs and listings may be served stale this long while the origin is away.")
    allow_ttl: Duration = knob("120s", "A caller's proven right holds this long.", le=300)
    deny_ttl: Duration = knob("5s", "A refusal is repeated this long.", le=10)
    public_ttl: Duration = knob("24h", "A repo seen to be public is taken as public this long for pinned commits.")


class WebSection(Section):
    """How generic origins are cached."""

    longest_unannounced: Size = knob(
        "4GiB", "Most bytes held of one answer whose length the origin does not say; longer ones break off.", ge=MIB
    )


class FetchSection(Section):
    """How bytes are fetched from the origin."""

    span: Size = knob(
        "16MiB",
        "Most bytes asked for in one request to the origin; it is what comes in half a second, 4MiB or more.",
        ge=MIB,
        le=64 * MIB,
    )
    parallel: int = knob(4, "Requests under way for one blob.", ge=1, le=32)
    read_ahead: Size = knob("64MiB", "Most bytes fetched ahead of a reader that reads ranges one after another.")
    finish_below: Size = knob("32MiB", "An abandoned download goes on when no more than this is missing.")
    progress_timeout: Duration = knob("60s", "A reader whose bytes do not come for this long gets an error.", gt=0)


class XetSection(Section):
    """The Xet protocol towards clients, computed from the plain bytes that are kept."""

    facade: bool = knob(True, "Serve clients that come by Xet; when off they are told to use plain HTTP.")
    advertise_above: SizeOrOff = knob(
        "50GB",
        "Tell clients to fetch files larger than this by Xet: 50GB is what huggingface_hub refuses to fetch by plain "
        "HTTP; 0 is all that the Hub has in Xet, off is none.",
    )
    hide_size_above: SizeOrOff = knob(
        "off",
        "Tell huggingface_hub no size of files larger than this that are not advertised, so that it fetches them by "
        "plain HTTP beyond its limit: for clients without hf_xet, and only from version 1.33 on (older ones fail "
        "without a size). To be used with advertise_above = off.",
    )
    token_ttl: Duration = knob(
        "15m", "An access token for Xet holds this long; the right behind it no longer than any.", gt=0, le=900
    )
    url_ttl: Duration = knob(
        "15m", "The address of a xorb holds this long, but no longer than its token.", gt=0, le=900
    )

    @property
    def advertised_above(self) -> int | None:
        """`advertise_above` where it counts: None when nothing is advertised."""
        return self.advertise_above if self.facade else None


class LogSection(Section):
    """What is written, and where."""

    level: Literal["debug", "info", "warning", "error"] = knob("info", "Least severity of the event log.", reload=True)
    form: Literal["text", "json"] = knob("text", "How the event log is written to standard error.")
    access: str = knob("-", "File of the access log (JSON lines); - is standard output, empty is none.")
    rotate_at: SizeOrOff = knob(
        "off",
        "Put the access log aside when it is this large (FILE.1, FILE.2, …); off leaves that to others, who rename it "
        "and send SIGHUP.",
    )
    rotate_keep: int = knob(5, "How many files that were put aside are kept.", ge=1, le=1000)
    client: Literal["pseudonym", "network", "full", "none"] = knob(
        "pseudonym",
        "How the access log names a client: a pseudonym that changes every day (and at a restart), its network "
        "(/24 or /48), its full address, or not at all.",
    )

    @field_validator("rotate_at")
    @classmethod
    def _rotate_at(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("every line would be put aside, and soon be gone; write it like 100MiB, or off")
        return value


class Config(Section):
    """The whole configuration."""

    server: ServerSection = ServerSection()
    admin: AdminSection = AdminSection()
    limits: LimitsSection = LimitsSection()
    hot: HotSection = HotSection()
    origin: OriginSection = OriginSection()
    mounted: tuple[MountedOrigin, ...] = ()
    """Those beside it. In the file: each `[[origin]]` with a name."""
    store: StoreSection = Field(default_factory=StoreSection)
    freshness: FreshnessSection = FreshnessSection()
    fetch: FetchSection = FetchSection()
    xet: XetSection = XetSection()
    web: WebSection = WebSection()
    log: LogSection = LogSection()
    cluster: ClusterSection = ClusterSection()
    tracing: TracingSection = TracingSection()
