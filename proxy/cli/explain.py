"""What would happen to a request of the Hub's, and why: for `penstock explain`."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from .admin import LONG, Asked, ask
from .tables import show
from .talk import put_json, say

PATH = "/-/api/explain/file"


def explain_file(asked: Asked, target: str, method: str, authorization: str | None, *, as_json: bool) -> None:
    """What would happen to a request of the Hub's. What the caller shows goes in the body: a query is written down in
    more places."""
    found = ask(asked, "POST", PATH, {"url": target, "method": method, "authorization": authorization}, within=LONG)
    if as_json:
        put_json(found)
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for step in found["steps"]:
        table.add_row(Text(step["name"], style="bold"), Text(step["says"]), Text(step["rule"], style="dim"))
    table.add_row(Text("so", style="bold"), Text(found["verdict"]))
    show(table)
    say("the origin would be asked" if found["asks_origin"] else "the origin would not be asked")
