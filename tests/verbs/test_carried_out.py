"""What an operation that fails says."""

from __future__ import annotations

import errno
import os

import pytest

from proxy.core.errors import StoreError
from proxy.service.operations.carried_out import Operations
from proxy.service.operations.shape import Nothing, Told
from proxy.service.operations.table import IN_WORKER


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/d/jobs"), "/d/jobs: Read-only file system (on its machine)"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (OSError("a word"), "a word"),
        (StoreError("the disk is out"), "the disk is out"),
    ],
)
async def test_what_a_disk_refuses_is_told_in_words(failure: Exception, said: str) -> None:
    async def fail(asked: Nothing) -> Told:
        raise failure

    pins = [operation for operation in IN_WORKER if operation.verb == "pins"]
    reply = await Operations(pins, {"pins": fail}).carry_out("pins", {})
    assert (reply.status, reply.body) == (500, {"error": said})
