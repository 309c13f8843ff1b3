"""Every operation, as a table: the admin port, its OpenAPI document and the workers go by it."""

from __future__ import annotations

from typing import Final

from .explain import ExplainFileAsked, ExplainFileTold
from .inventory import BlobAsked, BlobTold, InfoAsked, InfoTold, ReposAsked, ReposTold
from .jobs import Job
from .on_node import ON_NODE
from .orders import ExportAsked, ImportAsked, JobAsked, JobsTold, ScrubAsked, SeedAsked, VerifyAsked, WarmAsked
from .pins import PinAsked, PinsTold, PinTold, UnpinAsked
from .removal import PruneAsked, PrunedTold, RemoveAsked, RemovedTold, StaleAsked, StaleTold
from .responses import ExplainAsked, ExplainTold, VoidAsked, VoidTold
from .shape import Nothing, Operation

_NO_JOB: Final = (404, "There is no such job.")
_UNKNOWN: Final = (404, "Nothing is known of the repo, or not at that revision.")
_TOO_MANY: Final = (409, "Too many jobs wait already.")


IN_WORKER: Final = (
    Operation("repos", "GET", "/-/api/repos", "List the repos that files are known of.", ReposAsked, ReposTold),
    Operation(
        "info",
        "GET",
        "/-/api/repo",
        "Show a repo at a revision, and its files.",
        InfoAsked,
        InfoTold,
        refusals=(_UNKNOWN,),
    ),
    Operation(
        "blob",
        "GET",
        "/-/api/blob",
        "Show where a blob lies.",
        BlobAsked,
        BlobTold,
        refusals=((404, "Nothing of it is kept."),),
    ),
    Operation(
        "explain-file",
        "POST",
        "/-/api/explain/file",
        "Say what would happen to a request of the Hub's now, and why.",
        ExplainFileAsked,
        ExplainFileTold,
    ),
    Operation("pins", "GET", "/-/api/pins", "List the pins.", Nothing, PinsTold),
    Operation(
        "pin",
        "PUT",
        "/-/api/pins",
        "Keep files of a repo at a commit from eviction.",
        PinAsked,
        PinTold,
        refusals=((404, "Nothing is known of the repo, not at that revision, or no file is chosen."),),
    ),
    Operation(
        "unpin",
        "DELETE",
        "/-/api/pins",
        "Let go of the pins of a repo.",
        UnpinAsked,
        PinsTold,
        refusals=((404, "Nothing of it is pinned."),),
    ),
    Operation(
        "remove",
        "POST",
        "/-/api/remove",
        "Remove files of a repo from the disks, but for what others share.",
        RemoveAsked,
        RemovedTold,
        refusals=(_UNKNOWN, (409, "Something of it is pinned.")),
    ),
    Operation(
        "stale",
        "POST",
        "/-/api/stale",
        "Have branches, tags and listings of a repo asked for anew by all nodes of the fleet; no byte goes.",
        StaleAsked,
        StaleTold,
        refusals=((404, "Nothing is known of the repo."),),
    ),
    Operation("prune", "POST", "/-/api/prune", "Evict what is used least.", PruneAsked, PrunedTold),
    Operation("jobs", "GET", "/-/api/jobs", "List the jobs, the newest first.", Nothing, JobsTold),
    Operation("job", "GET", "/-/api/jobs/{id}", "Show one job.", JobAsked, Job, refusals=(_NO_JOB,)),
    Operation(
        "cancel",
        "DELETE",
        "/-/api/jobs/{id}",
        "Cancel a job; it ends within a second or so.",
        JobAsked,
        Job,
        status=202,
        refusals=(_NO_JOB, (409, "The job has ended.")),
    ),
    Operation(
        "warm",
        "POST",
        "/-/api/jobs/warm",
        "Fetch files of a repo before anybody asks for them: a job.",
        WarmAsked,
        Job,
        status=202,
        refusals=(_TOO_MANY,),
    ),
    Operation(
        "export",
        "POST",
        "/-/api/jobs/export",
        "Write repos to a signed bundle: a job.",
        ExportAsked,
        Job,
        status=202,
        refusals=(_UNKNOWN, (409, "Too many jobs wait already, or one is to write there.")),
    ),
    Operation(
        "import",
        "POST",
        "/-/api/jobs/import",
        "Take in a signed bundle: a job.",
        ImportAsked,
        Job,
        status=202,
        refusals=(_TOO_MANY,),
    ),
    Operation(
        "seed",
        "POST",
        "/-/api/jobs/seed",
        "Take in what a cache of huggingface_hub or Olah holds: a job.",
        SeedAsked,
        Job,
        status=202,
        refusals=(_TOO_MANY,),
    ),
    Operation(
        "verify",
        "POST",
        "/-/api/jobs/verify",
        "Compare files of a repo that are here whole with the digests of the Hub: a job.",
        VerifyAsked,
        Job,
        status=202,
        refusals=(_UNKNOWN, _TOO_MANY),
    ),
    Operation(
        "scrub",
        "POST",
        "/-/api/jobs/scrub",
        "Read everything that is kept, and drop what does not match its checksum: a job.",
        ScrubAsked,
        Job,
        status=202,
        refusals=((409, "Too many jobs wait already, or a scrub is under way."),),
    ),
    Operation(
        "void",
        "POST",
        "/-/api/purge/responses",
        "Drop responses of a generic origin, or have them count as stale, on all nodes of the fleet.",
        VoidAsked,
        VoidTold,
        refusals=((404, "No generic origin answers there."),),
    ),
    Operation(
        "explain",
        "GET",
        "/-/api/explain",
        "Say what a GET of a generic origin's target would be answered with now, and by which rule.",
        ExplainAsked,
        ExplainTold,
        refusals=((404, "No generic origin answers there."),),
    ),
)
"""Carried out by any worker."""

OPERATIONS: Final = (*ON_NODE, *IN_WORKER)
