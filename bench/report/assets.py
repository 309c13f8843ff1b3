"""What the page carries inside: uPlot as npm installed it, and our own style and script."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
WEB = HERE / "web"
"""Where package.json names uPlot's version and package-lock.json its digest."""
UPLOT = WEB / "node_modules" / "uplot"


class MissingAsset(Exception):
    """Something the page must carry is not installed."""

    @property
    def remedy(self) -> str:
        """The command that installs it."""
        return f"npm ci --prefix {WEB}   (make bench does so)"


@dataclass(frozen=True, slots=True)
class Assets:
    """Texts that are written into the page as they are."""

    scripts: tuple[str, ...]
    styles: tuple[str, ...]

    def policy(self) -> str:
        """A Content-Security-Policy under which these run, and nothing else, and nothing is fetched."""
        allowed = {"script-src": self.scripts, "style-src": self.styles}
        lines = [f"{what} {' '.join(_digest(text) for text in texts)}" for what, texts in allowed.items()]
        return "; ".join(["default-src 'none'", "img-src data:", *lines, "base-uri 'none'", "form-action 'none'"])


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def assets(uplot: Path = UPLOT) -> Assets:
    """All of them. Raises MissingAsset."""
    templates = HERE / "templates"
    licence = _comment(_read(uplot / "LICENSE"))
    return Assets(
        scripts=(
            licence + _read(uplot / "dist" / "uPlot.iife.min.js"),
            (templates / "report.js").read_text(encoding="utf-8"),
        ),
        styles=(
            licence + _read(uplot / "dist" / "uPlot.min.css"),
            (templates / "report.css").read_text(encoding="utf-8"),
        ),
    )


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingAsset(f"uPlot, which draws the plots, is not installed: {file}: {error.strerror}") from error
    # It is written between <script> and </script>; nothing in it may end that early.
    if "</" in text.lower() and ("</script" in text.lower() or "</style" in text.lower()):
        raise MissingAsset(f"{file} cannot be written into a page")
    return text


def _comment(text: str) -> str:
    return "/*! uPlot\n" + text.replace("*/", "* /") + "*/\n"
