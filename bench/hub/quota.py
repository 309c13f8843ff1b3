"""How often each account may ask, as the Hub counts it: per policy, in fixed windows, told in every answer."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .messages import API_KINDS, Answer, Asked, Headers, Kind, json_answer

MESSAGE = "We had to rate limit you. To continue using our service, create an account or wait."


@dataclass
class Quota:
    """At most `limit` requests per account, policy and window of `seconds`. `refused` counts the 429s given."""

    limit: int
    seconds: float
    clock: Callable[[], float]
    refused: int = 0
    _spent: Counter[tuple[str, str, int]] = field(default_factory=Counter)

    def spend(self, kind: Kind, asked: Asked) -> tuple[Headers, Answer | None]:
        """Count one request: the headers its answer carries, and the refusal in its place when there is one."""
        policy = "api" if kind in API_KINDS else "resolvers"
        number = int(self.clock() // self.seconds)
        key = (asked.headers.get("authorization", ""), policy, number)
        self._spent[key] += 1
        left = max(0, self.limit - self._spent[key])
        reset = max(1, math.ceil((number + 1) * self.seconds - self.clock()))
        headers = {
            "ratelimit": f'"{policy}";r={left};t={reset}',
            "ratelimit-policy": f'"fixed window";"{policy}";q={self.limit};w={self.seconds:g}',
        }
        if self._spent[key] <= self.limit:
            return headers, None
        self.refused += 1
        refusal = {"retry-after": str(reset), "x-error-message": MESSAGE, **headers}
        return headers, json_answer({"error": MESSAGE}, status=429, headers=refusal)
