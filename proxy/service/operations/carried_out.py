"""Operations carried out, in a worker."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from proxy.core.errors import OriginAway, OriginRefused, PenstockError

from .shape import Asked, Operation, Refused, Reply, Told

log: Final = logging.getLogger(__name__)

Handler = Callable[[Any], Awaitable[Told]]

_WRITTEN_LIKE: Final = {
    "repo": "acme/tiny or datasets/acme/rows",
    "repos": "acme/tiny or datasets/acme/rows@v1.0",
    "fields": "'Accept: text/html'",
}
"""What is told instead of the pattern that a text does not match."""


class Operations:
    """Carries out the operations of a table, each by its handler."""

    def __init__(self, table: Sequence[Operation], handlers: Mapping[str, Handler]) -> None:
        self._table = {operation.verb: operation for operation in table}
        assert handlers.keys() == self._table.keys(), "every operation has a handler"
        self._handlers = handlers

    async def carry_out(self, verb: str, arguments: dict[str, Any]) -> Reply:
        """Never raises: what is wrong is in the reply."""
        operation = self._table[verb]
        try:
            asked: Asked = operation.asked.model_validate(arguments)
            told = await self._handlers[verb](asked)
        except ValidationError as error:
            return Reply.refused(400, in_words(error))
        except Refused as refused:
            return Reply.refused(refused.status, refused.why)
        except (OriginRefused, OriginAway) as away:
            return Reply.refused(502, f"the origin: {away}")
        except OSError as error:
            what = error.strerror or str(error)
            return Reply.refused(500, what if error.filename is None else f"{error.filename}: {what} (on its machine)")
        except (PenstockError, sqlite3.Error) as error:
            return Reply.refused(500, str(error))
        except Exception:
            log.exception("operation failed", extra={"verb": verb})
            return Reply.refused(500, "an error of the program; the event log has it")
        return Reply(operation.status, told.model_dump(mode="json"))


def in_words(error: ValidationError) -> str:
    """Every mistake of what was asked, in a line."""
    return "; ".join(_mistake(one) for one in error.errors(include_url=False))


def _mistake(one: Any) -> str:
    field = str(one["loc"][0]) if one["loc"] else ""
    if one["type"] == "string_pattern_mismatch" and field in _WRITTEN_LIKE:
        return f"{field}: {one['input']!r} is none; write it like {_WRITTEN_LIKE[field]}"
    where = ".".join(str(part) for part in one["loc"]) or "the body"
    return f"{where}: {one['msg'].removeprefix('Value error, ')}"
