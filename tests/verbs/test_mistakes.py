"""What a person types wrong, and what is said then: what it is, and what would be right."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.kit.command import penstock

from .verbs import Operator, operated

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    async with operated(tmp_path_factory.mktemp("mistakes")) as found:
        yield found


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("info", "a/b/c"), 2, "repo: 'a/b/c' is none; write it like acme/tiny or datasets/acme/rows"),
        (("warm", "../bad"), 2, "write it like acme/tiny"),
        (("info", "sha256:12"), 2, "is no key of a blob"),
        (("purge", "sha256:12"), 2, "is no key of a blob"),
        (
            ("explain", "/acme/tiny/resolve/main/a", "--token-file", "/dev/null"),
            2,
            "the token file /dev/null holds no token",
        ),
        (("explain", "nonsense"), 2, "target: give a path, or the whole address"),
        (("warm", "acme/none"), 1, "--token-file"),
        (("info", "acme/none"), 3, "penstock warm acme/none"),
        (("import", "/nowhere.tar"), 1, "/nowhere.tar: No such file or directory (for the node, on its machine)"),
        (("log", "/nowhere.log"), 3, "there is no access log /nowhere.log"),
        (("prune", "--to", "lots"), 2, "write it like 80% or 0.8"),
        (("verify", "acme/none"), 3, "penstock warm acme/none"),
        (("export", "/nowhere/b.tar", "acme/none"), 3, "penstock warm acme/none"),
        (("log", "/nowhere.log", "--status", "abc"), 2, "write it like 404 or 4xx"),
        (("purge", "--prefix", "/data/", "--dry-run"), 3, "no generic origin answers there"),
        (("purge", "acme/none", "--soft", "--dry-run"), 3, "nothing is known of acme/none"),
        (("purge", "acme/tiny@main", "--soft"), 2, "nothing was purged"),
        (("purge", "acme/tiny", "--soft", "--include", "*.bin"), 2, "nothing was purged"),
        (("purge", "0" * 64, "--exclude", "*.bin"), 2, "nothing was purged"),
        (("purge", "0" * 64, "--soft"), 2, "nothing was purged"),
        (("purge", "--tag", "red", "--include", "*.bin"), 2, "nothing was purged"),
        (("rm", "acme/tiny@", "--yes"), 2, "'acme/tiny@' names no repo"),
        (("unpin", "acme/tiny@"), 2, "'acme/tiny@' names no repo"),
        (("jobs", "cancel", "../pins"), 3, "there is no job '../pins'"),
        (("doctor", "--endpoint", "http://mirror:808080"), 2, "'http://mirror:808080' is no address"),
        (("doctor", "--endpoint", "http://[mirror"), 2, "'http://[mirror' is no address"),
        (("upgrade",), 5, "server.supervised"),
        (("cluster", "status"), 3, "in no cluster"),
    ],
)
async def test_it_is_told_what_would_be_right(operator: Operator, words: tuple[str, ...], code: int, said: str) -> None:
    done = await (penstock(*words) if words[0] == "log" else operator.says(*words))
    assert (done.returncode, done.stdout) == (code, ""), done.said
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "[Errno" not in done.stderr
