"""The command `penstock` under another version number: `python -m deploy.walk.another_version serve …`. Of this program
there is one version so far; a node tells its number, and that is all that differs."""

from __future__ import annotations

import proxy

proxy.__version__ = "0.1.0.post1"

from proxy.cli.main import main  # noqa: E402 - whoever reads the number reads this one

if __name__ == "__main__":
    main(prog_name="penstock")
