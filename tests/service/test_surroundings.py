"""What the doctor says of origins, certificates and Redis, asked for real."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from proxy.config.load import load
from proxy.config.schema import Config
from proxy.core.clock import SystemClock
from proxy.service.finding import Finding, Verdict
from proxy.service.surroundings import surroundings
from tests.kit.redis import RedisServer
from tests.kit.weborigin import Reply, WebSite

NOW = datetime.datetime.now(datetime.UTC)
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def site() -> AsyncIterator[WebSite]:
    async with WebSite.open() as found:
        yield found


def config_of(folder: Path, text: str) -> Config:
    file = folder / "penstock.toml"
    file.write_text(text)
    return load(file=file, environment={}).config


async def found(config: Config) -> dict[str, Finding]:
    return {one.about: one async for one in surroundings(config, SystemClock())}


async def test_every_origin_is_asked_and_named(tmp_path: Path, site: WebSite) -> None:
    site.at("/api/models", Reply(200, {"RateLimit": '"api";r=9'}, b"[]"))
    site.at("/busy", Reply(429, {}, b""))
    site.at("/broken", Reply(503, {}, b""))
    config = config_of(
        tmp_path,
        f'[[origin]]\nurl = "{site.url}"\n'
        f'[[origin]]\nname = "no-page"\nurl = "{site.url}/nothing"\n'
        f'[[origin]]\nname = "busy"\nurl = "{site.url}/busy"\n'
        f'[[origin]]\nname = "broken"\nurl = "{site.url}/broken"\n'
        f'[[origin]]\nname = "away"\nurl = "{NOBODY}"\n',
    )
    said = await found(config)
    assert {about: one.verdict.value for about, one in said.items()} == {
        "origin": "good",
        "origin budget": "poor",
        "clock": "good",
        "origin no-page": "good",
        "origin busy": "good",
        "origin busy budget": "bad",
        "origin broken": "poor",
        "origin away": "bad",
    }
    assert "have 9 requests left" in said["origin budget"].says
    assert all(one.fix for one in said.values() if one.verdict is not Verdict.GOOD)
    assert not site.requests("/busy", "GET"), "the base of a generic origin may be large"


@pytest.mark.parametrize(
    ("left", "verdict", "says"),
    [
        ("r=400;t=30", "good", "400 requests left"),
        ("r=12;t=30", "poor", "the last 50"),
        ("r=0;t=30", "bad", "for 30 s"),
    ],
)
async def test_what_the_origin_lets_us_ask_still_is_judged(
    tmp_path: Path, site: WebSite, left: str, verdict: str, says: str
) -> None:
    fields = {"RateLimit": f'"api";{left}', "RateLimit-Policy": '"api";q=500;w=300'}
    site.at("/api/models", Reply(200, fields, b"[]"))
    budget = (await found(config_of(tmp_path, f'[origin]\nurl = "{site.url}"\n')))["origin budget"]
    assert (budget.verdict.value, says in budget.says) == (verdict, True), budget
    assert ("origin.token_file" in budget.fix) == (verdict != "good")


async def test_the_hub_is_asked_with_the_mirrors_own_token_and_nobody_else_is(tmp_path: Path, site: WebSite) -> None:
    site.at("/api/models", Reply(200, {"RateLimit": '"api";r=0;t=60'}, b"[]"))
    (tmp_path / "token").write_text("hf_ofTheMirror")
    said = await found(
        config_of(
            tmp_path,
            f'[[origin]]\nurl = "{site.url}"\ntoken_file = "{tmp_path}/token"\n'
            f'[[origin]]\nname = "other"\nurl = "{site.url}/other"\n',
        )
    )
    (asked,), (other,) = site.requests("/api/models", "GET"), site.requests("/other", "HEAD")
    assert asked["Authorization"] == "Bearer hf_ofTheMirror"
    assert other["Authorization"] is None
    assert "the mirror's token has no requests left, for 60 s" in said["origin budget"].says
    assert "ofTheMirror" not in f"{said}"


async def test_a_generic_origin_is_shown_no_token(tmp_path: Path, site: WebSite) -> None:
    (tmp_path / "token").write_text("hf_ofTheMirror")
    root = f'[origin]\nkind = "http"\nurl = "{site.url}/base"\ntoken_file = "{tmp_path}/token"\n'
    await found(config_of(tmp_path, root))
    (asked,) = site.requests("/base", "HEAD")
    assert asked["Authorization"] is None, "the node shows it none either"


@pytest.mark.parametrize(("token", "verdict", "fix"), [(False, "poor", "HF_TOKEN"), (True, "bad", "Access Tokens")])
async def test_a_hub_that_shows_nothing_without_a_right_token_is_told_apart(
    tmp_path: Path, site: WebSite, token: bool, verdict: str, fix: str
) -> None:
    site.at("/api/models", Reply(401, {}, b"{}"))
    (tmp_path / "token").write_text("hf_ofTheMirror")
    shown = f'token_file = "{tmp_path}/token"\n' if token else ""
    origin = (await found(config_of(tmp_path, f'[origin]\nurl = "{site.url}"\n{shown}')))["origin"]
    assert (origin.verdict.value, fix in origin.fix) == (verdict, True), origin


async def test_a_clock_that_is_off_is_said(tmp_path: Path, site: WebSite) -> None:
    site.at("/api/models", Reply(200, {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, b"[]"))
    said = await found(config_of(tmp_path, f'[origin]\nurl = "{site.url}"\n'))
    assert (said["clock"].verdict, said["clock"].fix) == (Verdict.BAD, "timedatectl set-ntp true")


@pytest.mark.parametrize(
    ("days", "verdict", "says"),
    [(400, Verdict.GOOD, "valid until"), (5, Verdict.POOR, "runs out in"), (-2, Verdict.BAD, "ran out on")],
)
async def test_a_certificate_says_when_it_runs_out(tmp_path: Path, days: int, verdict: Verdict, says: str) -> None:
    begins, ends = NOW - datetime.timedelta(days=10), NOW + datetime.timedelta(days=days)
    issued = trustme.CA().issue_cert("mirror.example", not_before=begins, not_after=ends)
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    pair = f'tls_certificate = "{tmp_path}/both.pem"\ntls_key = "{tmp_path}/both.pem"'
    said = await found(config_of(tmp_path, f'[server]\n{pair}\n[origin]\nurl = "{NOBODY}"\n'))
    certificate = said[f"certificate {tmp_path}/both.pem"]
    assert certificate.verdict is verdict
    assert says in certificate.says
    assert ("penstock upgrade" in certificate.fix) == (verdict is not Verdict.GOOD)


async def test_redis_is_asked_as_a_node_asks_it(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("open sesame")
    (tmp_path / "secret").write_text("s" * 32)

    def config(port: int, more: str = "") -> Config:
        text = (
            f'[cluster]\nadvertise = "http://127.0.0.1:1"\nsecret_file = "{tmp_path}/secret"\n'
            f'redis = "redis://127.0.0.1:{port}/0"\n{more}[origin]\nurl = "{NOBODY}"\n'
        )
        return config_of(tmp_path, text)

    async with RedisServer.open(tmp_path / "redis", "--requirepass", "open sesame") as server:
        password = f'redis_password_file = "{tmp_path}/password"\n'
        right = (await found(config(server.port, password)))["redis"]
        assert right.verdict in (Verdict.GOOD, Verdict.POOR), right
        wrong = (await found(config(server.port)))["redis"]
        assert (wrong.verdict, "redis_password_file" in wrong.fix) == (Verdict.BAD, True)
        assert "sesame" not in f"{right}{wrong}"
    gone = (await found(config(server.port, password)))["redis"]
    assert gone.verdict is Verdict.BAD
    assert f"redis-cli -h 127.0.0.1 -p {server.port} ping" in gone.fix
