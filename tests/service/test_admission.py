"""Who may speak to the admin port: what is decided, and before a running node and the command."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from proxy.config.load import load
from proxy.core.errors import ConfigError
from proxy.core.secret import Secret
from proxy.service.admission import Admission, admin_token, admission_of
from tests.kit.command import penstock
from tests.service.running import running, started

TOKEN = "0123456789abcdef-of-the-admin"
OURS = Admission(frozenset({"localhost", "cache-1.example"}), Secret(TOKEN))


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8081", "LocalHost.", "cache-1.example:8081", "Cache-1.Example"),
        *("127.0.0.1:8081", "10.1.2.3", "[::1]:8081", "[fd00::1]", None),
    ],
)
def test_our_names_and_addresses_in_digits_are_known(host: str | None) -> None:
    assert OURS.knows(host)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8081", "localhost.evil.example", "127.0.0.1.evil.example", "", ":8081"),
        *("localhost@evil.example", "evil.example/localhost", "[evil.example]", "0x7f.1", "2130706433", "localhost:x"),
    ],
)
def test_every_other_name_is_a_stranger(host: str) -> None:
    assert not OURS.knows(host)


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", f"bearer   {TOKEN} "])
def test_the_token_lets_in(shown: str) -> None:
    assert OURS.lets_in("/metrics", shown)


@pytest.mark.parametrize("shown", [None, "", TOKEN, f"Basic {TOKEN}", "Bearer ", f"Bearer {TOKEN}x", "Bearer \udcff"])
def test_nothing_else_does(shown: str | None) -> None:
    assert not OURS.lets_in("/metrics", shown)
    assert not OURS.lets_in("/-/api/cluster/drain", shown)


def test_health_is_for_everybody_and_without_a_token_all_is() -> None:
    assert all(OURS.lets_in(path, None) for path in ("/-/livez", "/-/readyz"))
    assert Admission(frozenset()).lets_in("/metrics", None)


def test_names_come_from_the_configuration() -> None:
    flags = {
        "server.admin": ("--admin", "Cache-1.example:8081"),
        "admin.names": ("", ("Metrics.Example",)),
        "admin.token_file": ("", "/nowhere"),
    }
    config = load(environment={}, flags=flags).config
    with pytest.raises(ConfigError):
        admission_of(config)
    without = config.model_copy(update={"admin": config.admin.model_copy(update={"token_file": None})})
    assert admission_of(without).names == {"localhost", "cache-1.example", "metrics.example"}


@pytest.mark.parametrize("content", [b"", b"short", b"two words of length", b"two\nlines-of-some-length", b"\xff" * 32])
def test_a_file_without_a_token_is_told_with_the_way_to_make_one(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="openssl rand") as told:
        admin_token(file)
    assert "two" not in str(told.value)


async def test_a_node_with_a_token_answers_who_shows_it(tmp_path: Path) -> None:
    file = tmp_path / "admin.token"
    file.write_text(f"{TOKEN}\n")
    shown = {"Authorization": f"Bearer {TOKEN}"}
    async with running(tmp_path, "--admin-token-file", str(file)) as node, aiohttp.ClientSession() as session:

        async def status(path: str, **fields: str) -> int:
            async with session.get(f"http://{node.standing['admin']}{path}", headers=fields) as answer:
                return answer.status

        for path in ("/metrics", "/-/status", "/-/api/cluster", "/-/api/no-such"):
            assert await status(path) == 401, path
            assert await status(path, **shown, Host="evil.example") == 421, path
        assert await status("/metrics", **shown) == await status("/-/livez") == await status("/-/readyz") == 200
        assert await status("/-/livez", Host="evil.example") == 421
        refused, told = await asked(node.standing["admin"])
        assert (refused, "wants a token" in told, "PENSTOCK_ADMIN__TOKEN_FILE=" in told) == (1, True, True), told
        wrong = tmp_path / "wrong.token"
        wrong.write_text("another-token-of-somebody")
        refused, told = await asked(node.standing["admin"], PENSTOCK_ADMIN__TOKEN_FILE=str(wrong))
        assert (refused, "does not take the token" in told, "another-token" in told) == (1, True, False), told
        let_in, told = await asked(node.standing["admin"], PENSTOCK_ADMIN__TOKEN_FILE=str(file))
        assert (let_in, "in no cluster" in told) == (3, True), told
        assert TOKEN not in node.log


async def test_a_node_off_loopback_does_not_start_without_one(tmp_path: Path) -> None:
    async with started(tmp_path, "--admin", "0.0.0.0:0") as node:
        assert await node.ended() == 2
        assert "admin.token_file" in node.log


async def asked(admin: str, **variables: str) -> tuple[int, str]:
    """`penstock cluster status`: its exit code and what it said."""
    done = await penstock("cluster", "status", "--admin", admin, **variables)
    return done.returncode, done.said
