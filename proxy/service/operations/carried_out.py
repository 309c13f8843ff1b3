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
        except (PenstockError, OSError, sqlite3.Error) as error:
            return Reply.refused(500, str(error))
        except Exception:
            log.exception("operation failed", extra={"verb": verb})
            return Reply.refused(500, "an error of the program; the event log has it")
        return Reply(operation.status, told.model_dump(mode="json"))


def in_words(error: ValidationError) -> str:
    """Every mistake of what was asked, in a line."""
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc']) or 'the body'}: {one['msg']}" for one in error.errors()
    )
