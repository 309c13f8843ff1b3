"""Another program in the place of the running one, by order of an operator: what is asked and told of it."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from .shape import Asked, Nothing, Operation, Told


class RenewAsked(Asked):
    """Put the program that is installed now into the place of the running one."""

    dry_run: bool = Field(False, description="Only try out whether it could take over.")


class RenewTold(Told):
    """The running program, which gives its place up now if it can: `/-/api/renewal` tells how far that is."""

    dry_run: bool
    program: int = Field(description="The how manieth program of this process runs; the next has one more.")
    version: str
    becomes: str | None = Field(description="The version that would take over; null when it was not tried out.")
    disk_format: int


class RenewalTold(Told):
    """How far a node is in becoming another program."""

    program: int = Field(description="The how manieth program of this process runs.")
    version: str
    disk_format: int
    state: Literal["serving", "rehearsing", "starting"] = Field(
        description="rehearsing: the next program is tried out; starting: it has the place, and the workers of the one "
        "before it serve until its own do."
    )
    why: str | None = Field(description="Why the last try came to nothing, or a worker does not start.")
    workers: int = Field(description="Workers of this program that serve.")
    old_workers: int = Field(description="Workers of programs before it: they serve, or end with their downloads.")


RENEWING: Final = (
    Operation(
        "renewal",
        "GET",
        "/-/api/renewal",
        "Tell how far the node is in becoming another program.",
        Nothing,
        RenewalTold,
    ),
    Operation(
        "renew",
        "POST",
        "/-/api/renewal",
        "Put the program that is installed now into the place of the running one, as by SIGUSR2.",
        RenewAsked,
        RenewTold,
        status=202,
        refusals=((409, "It cannot take over, or the node has no supervisor, is stopping, or is being renewed."),),
    ),
)
