"""What a person sees while a run happens: a picture in a terminal, plain lines elsewhere. It goes to standard error."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .load.tally import Failures, Second
from .meter import Reading
from .record import Mark, Source
from .standing import Watcher
from .words import Unit, told

_WINDOW: Final = 5
"""Seconds over which percentiles are taken."""
_HISTORY: Final = 60
_BARS: Final = " ▁▂▃▄▅▆▇█"
_LINE_EVERY: Final = 1.0
_MOST_ERRORS: Final = 4
_COLOURS: Final = {
    Source.DISK: "green",
    Source.MEMORY: "cyan",
    Source.FILL: "yellow",
    Source.RELAY: "magenta",
    Source.PEER: "blue",
}


class View:
    """The state of a run as it is shown. `text` draws it; as a `Watcher` it hears what happens."""

    def __init__(self, name: str, duration: float) -> None:
        self._name = name
        self._duration = duration
        self._phase = ""
        self._second = 0
        self._recent: deque[Second] = deque(maxlen=_WINDOW * 64)
        self._readings: deque[Reading] = deque(maxlen=_HISTORY)
        self._throughput: deque[float] = deque(maxlen=_HISTORY)
        self._failures: dict[str, Failures] = {}
        self._marks: deque[Mark] = deque(maxlen=4)
        self._received: dict[int, int] = {}

    # -- as a Watcher -----------------------------------------------------------------------------------------------

    def phase(self, name: str) -> None:
        self._phase = name

    def generated(self, second: Second) -> None:
        self._recent.append(second)
        self._second = max(self._second, second.number)
        for name, failures in second.failures.items():
            self._failures.setdefault(name, Failures(0, failures.example)).count += failures.count

    def sampled(self, number: int, reading: Reading) -> None:
        if self._readings:
            before = self._readings[-1].mirror.all_delivered
            self._throughput.append(max(0, reading.mirror.all_delivered - before))
        self._readings.append(reading)

    def marked(self, mark: Mark) -> None:
        self._marks.append(mark)

    # -- how it looks -----------------------------------------------------------------------------------------------

    def picture(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        head = f"{self._name}  {self._phase}  {min(self._second, self._duration):.0f} of {self._duration:.0f} s"
        table.add_row("throughput", self._throughput_text())
        table.add_row("first byte", Text(self._percentiles()))
        table.add_row("answered", Text(self._answers()))
        for mark in self._marks:
            table.add_row("fault", Text(f"{mark.second:5.1f} s  {mark.name}", style="yellow"))
        for name, failures in sorted(self._failures.items(), key=lambda one: -one[1].count)[:_MOST_ERRORS]:
            table.add_row("errors", Text(f"{failures.count} x {name}: {failures.example}", style="red"))
        return Group(Text(head, style="bold green"), table)

    def line(self) -> str:
        """The same in one line."""
        total = self._throughput[-1] if self._throughput else 0
        errors = sum(failures.count for failures in self._failures.values())
        parts = [f"{self._second:4d} s", _rate(total), self._percentiles(), self._answers(), f"{errors} errors"]
        return "  ".join(parts)

    def _throughput_text(self) -> Text:
        text = Text(f"{_rate(self._throughput[-1] if self._throughput else 0)}  ")
        top = max([*self._throughput, 1.0])
        text.append("".join(_BARS[round(value / top * (len(_BARS) - 1))] for value in self._throughput), "green")
        if len(self._readings) >= 2:
            before, now = self._readings[-2].mirror.delivered, self._readings[-1].mirror.delivered
            for source in Source:
                if grown := now.get(source, 0) - before.get(source, 0):
                    text.append(f"  {source} {_rate(grown)}", _COLOURS[source])
        return text

    def _percentiles(self) -> str:
        since = self._second - _WINDOW
        seconds = [one for one in self._recent if one.number >= since]
        waits = sorted(wait for one in seconds for three in one.measures.values() for wait in three[0])
        if not waits:
            return "p50 - p99 -"
        found = [(percent, waits[min(len(waits) - 1, int(len(waits) * percent / 100))]) for percent in (50, 90, 99)]
        return "  ".join(f"p{percent} {told(wait, Unit.SECONDS)}" for percent, wait in found)

    def _answers(self) -> str:
        last = [one for one in self._recent if one.number == self._second]
        requests = sum(one.requests for one in last)
        hits = sum(one.hits for one in last)
        in_flight = sum(one.in_flight for one in last)
        cpu = max((one.cpu_share for one in last), default=0.0)
        ratio = f"{hits / requests * 100:.0f} % hits" if requests else "- hits"
        busy = " (the generator is the bottleneck)" if cpu > 0.9 else ""
        return f"{requests} requests/s  {ratio}  {in_flight} in flight  generator {cpu * 100:.0f} %{busy}"


class _Lines(View):
    """Tells the phases and one line a second, for a log."""

    def __init__(self, name: str, duration: float, console: Console) -> None:
        super().__init__(name, duration)
        self._console = console
        self._last = 0.0

    def phase(self, name: str) -> None:
        super().phase(name)
        self._say(f"{self._name}: {name}")

    def generated(self, second: Second) -> None:
        super().generated(second)
        if time.monotonic() - self._last >= _LINE_EVERY:
            self._last = time.monotonic()
            self._say(self.line())

    def marked(self, mark: Mark) -> None:
        super().marked(mark)
        self._say(f"{mark.second:6.1f} s  {mark.name}")

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


class Silent:
    """A watcher that looks away."""

    def phase(self, name: str) -> None: ...

    def generated(self, second: Second) -> None: ...

    def sampled(self, number: int, reading: Reading) -> None: ...

    def marked(self, mark: Mark) -> None: ...


@contextlib.contextmanager
def watching(name: str, duration: float, console: Console) -> Iterator[Watcher]:
    """A picture that changes, if `console` is a terminal; else lines."""
    if not console.is_terminal:
        yield _Lines(name, duration, console)
        return
    view = View(name, duration)
    with Live(console=console, get_renderable=view.picture, refresh_per_second=4, transient=True):
        yield view


def _rate(count: float) -> str:
    return told(count, Unit.BYTES_PER_SECOND)
