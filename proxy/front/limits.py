"""What one client may cost, in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields

from proxy.config.schema import LimitsSection
from proxy.core.sizes import KIB, MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, durations in seconds; the reasons are in `proxy.config.schema.LimitsSection`."""

    header_bytes: int = 16 * KIB
    header_timeout: float = 10.0
    body_bytes: int = MIB
    body_timeout: float = 15.0
    git_body_bytes: int = 64 * MIB
    git_body_timeout: float = 60.0
    keepalive_timeout: float = 75.0
    connections: int = 20_000
    connections_per_client: int = 1024
    send_buffer: int = 256 * KIB
    send_timeout: float = 60.0
    read_timeout: float = 60.0
    """A disk that gives no byte for this long fails the one request that waits for it."""

    @classmethod
    def of(cls, section: LimitsSection) -> Limits:
        """The limits of a configuration."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in section.model_dump().items() if name in known})
