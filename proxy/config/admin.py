"""The section of the configuration that says who may speak to the admin port."""

from __future__ import annotations

from .spelling import AnchoredPath, Section, knob


class AdminSection(Section):
    """Who may speak to the admin port (`server.admin`). On loopback nothing is needed."""

    token_file: AnchoredPath | None = knob(
        None,
        "File (0600, or a systemd credential) with the token, at least 16 characters, that everything but /-/livez and "
        "/-/readyz asks for: `Authorization: Bearer …`. Needed as soon as server.admin is not on loopback.",
    )
    names: tuple[str, ...] = knob(
        (),
        "Names under which the admin port is spoken to (the Host of a request), besides localhost, addresses in digits "
        "and the name in server.admin. Others are refused: a page in a browser could lead its own name here.",
    )
