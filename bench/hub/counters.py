"""What the Hub was asked and what it sent: sums per kind, and a bounded log of single requests."""

from collections import Counter, deque
from dataclasses import dataclass

from .messages import Headers, Kind, Plane

LOG_LENGTH = 20_000


@dataclass(slots=True)
class RequestRecord:
    """One request. It enters the log as it arrives, with status 0 until one is decided; `bytes_sent` (of the body)
    grows while it is sent. A reset in place of an answer leaves the status 0."""

    method: str
    raw_path: str
    status: int
    headers: Headers
    bytes_sent: int
    kind: Kind
    plane: Plane


class Counters:
    """Sums since the start or the last `reset`. Body bytes count when handed to the socket, whether or not they
    arrive.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.cuts: Counter[str] = Counter()
        self.log: deque[RequestRecord] = deque(maxlen=LOG_LENGTH)

    def record(self, record: RequestRecord) -> None:
        self.requests[record.kind] += 1
        self.log.append(record)

    def answered(self, record: RequestRecord, status: int) -> None:
        record.status = status
        self.statuses[status] += 1

    def sent(self, record: RequestRecord, length: int) -> None:
        record.bytes_sent += length
        self.bytes[record.kind] += length

    def cut(self, record: RequestRecord) -> None:
        """The connection was gone before the whole body was handed to it."""
        self.cuts[record.kind] += 1

    def total_requests(self, *kinds: str) -> int:
        """Of these kinds, or of all."""
        return sum(self.requests[kind] for kind in kinds) if kinds else self.requests.total()

    def total_bytes(self, *kinds: str) -> int:
        return sum(self.bytes[kind] for kind in kinds) if kinds else self.bytes.total()

    def snapshot(self) -> dict[str, dict[str, int]]:
        return {
            "requests": {str(kind): count for kind, count in self.requests.items()},
            "bytes": {str(kind): length for kind, length in self.bytes.items()},
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "cuts": {str(kind): count for kind, count in self.cuts.items()},
        }

    def reset(self) -> None:
        """Forget sums and log."""
        self.requests.clear()
        self.bytes.clear()
        self.statuses.clear()
        self.cuts.clear()
        self.log.clear()
