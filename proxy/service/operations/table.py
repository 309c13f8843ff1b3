"""Every operation, as a table: the admin port, its OpenAPI document and the workers go by it."""

from __future__ import annotations

from typing import Final

from .jobs import Job
from .orders import JobAsked, JobsTold, WarmAsked
from .shape import Nothing, Operation

_NO_JOB: Final = (404, "There is no such job.")
_TOO_MANY: Final = (409, "Too many jobs wait already.")

OPERATIONS: Final = (
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
)

BY_VERB: Final = {operation.verb: operation for operation in OPERATIONS}
