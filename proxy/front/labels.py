"""What a target is called in metrics, and in whose words errors about it are told. Pure."""

from __future__ import annotations

from typing import Final

from proxy.hub.targets import (
    GitPack,
    GitRefs,
    LfsBatch,
    LfsObject,
    OciBlob,
    OciManifest,
    OciPing,
    OciToken,
    RawFile,
    ResolveFile,
    Target,
    WriteCall,
    XetReconstruction,
    XetTelemetry,
    XetXorb,
)

from .problems import Side

WEB: Final = "web"
"""The route of all targets of generic origins."""


def label(target: Target) -> str:
    match target:
        case ResolveFile():
            return "resolve"
        case RawFile():
            return "raw"
        case XetReconstruction() | XetXorb() | XetTelemetry():
            return "xet"
        case GitRefs() | GitPack():
            return "git"
        case LfsBatch() | LfsObject():
            return "lfs"
        case OciPing() | OciToken() | OciManifest() | OciBlob():
            return "oci"
        case _:
            return "api"


def side_of(target: Target, side: Side) -> Side:
    """In whose words errors about `target` are told."""
    match target:
        case GitRefs() | GitPack():
            return Side.GIT
        case LfsBatch():
            return Side.LFS
        case OciPing() | OciToken() | OciManifest() | OciBlob():
            return Side.OCI
        case WriteCall(raw_target) if not raw_target.startswith("/api/"):
            return Side.GIT
        case _:
            return side
