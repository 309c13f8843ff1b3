"""The section `cluster`: every mistake is told, in words that say what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.cluster import ClusterSection, Peer, node_url
from proxy.config.load import load
from proxy.config.reference import reference
from proxy.core.errors import ConfigError

NO_NODES = (
    *("a:8080", "ftp://a", "http://", "http://a/path", "http://u:p@a", "http://a?x", "http://a#", "http://a:0"),
    *("http://a:99999", "http://@a", "http://0.0.0.0:8080", "http://[::]:8080", "http://[::", "http://ä"),
)


def cluster(**values: object) -> ClusterSection:
    flags = {f"cluster.{name}": (f"--{name}", value) for name, value in values.items()}
    return load(environment={}, flags=flags).config.cluster


def mistake(**values: object) -> str:
    with pytest.raises(ConfigError) as caught:
        cluster(**values)
    (told,) = caught.value.mistakes
    return told


def whole(**values: object) -> dict[str, object]:
    return {"advertise": "http://a:8080", "secret_file": "/etc/penstock/cluster.secret", **values}


def test_a_node_alone_needs_nothing() -> None:
    assert not cluster().is_on


def test_a_node_without_a_name_is_called_by_its_address() -> None:
    assert cluster(**whole()).name == "a:8080"
    assert cluster(**whole(node="cache-1")).name == "cache-1"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://A.Example:8080/", "http://a.example:8080"),
        ("http://a:80", "http://a"),
        ("https://a:443/", "https://a"),
        ("https://a:8443", "https://a:8443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("HTTP://a", "http://a"),
    ],
)
def test_an_address_has_one_spelling(written: str, meant: str) -> None:
    """Slices are shared out by it: two spellings of one node would be two nodes."""
    assert node_url(written) == meant
    assert node_url(meant) == meant


@pytest.mark.parametrize(
    "wrong",
    NO_NODES,
)
def test_what_is_no_address_of_a_node_is_refused(wrong: str) -> None:
    assert "write it like http://cache-3.example:8080" in (told := mistake(**whole(advertise=wrong))) or (
        "not where others reach it" in told
    )
    assert told.startswith("cluster.advertise = ")


@pytest.mark.parametrize(
    "right",
    [
        "redis://r",
        "redis://r:6379/0",
        "redis://user@r",
        "rediss://r.example:6380",
        "redis://[::1]:6379",
        "redis+sentinel://a:26379,b:26379/service/0",
        "redis+sentinel://a/service",
        "redis+cluster://a:6379,b:6379",
    ],
)
def test_every_form_of_redis_is_taken(right: str) -> None:
    assert cluster(**whole(redis=right)).redis == right


@pytest.mark.parametrize(
    "wrong", ["r:6379", "http://r", "redis://", "redis+sentinel://a,b", "redis+cluster://a/0", "redis://r/0?x=1"]
)
def test_another_form_of_redis_is_a_mistake(wrong: str) -> None:
    assert mistake(**whole(redis=wrong)).startswith(f"cluster.redis = {wrong!r} (flag --redis): ")


@pytest.mark.parametrize("redis", ["redis://:geheim@r", "rediss://u:geheim@r/0", "redis+cluster://:geheim@r"])
def test_a_password_in_the_address_of_redis_is_a_mistake_that_does_not_repeat_it(redis: str) -> None:
    told = mistake(**whole(redis=redis))
    assert "cluster.redis_password_file" in told
    assert "geheim" not in told


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"redis": "redis://r"}, "--advertise"),
        ({"peers": ("http://b",)}, "--advertise"),
        ({"node": "a"}, "--advertise"),
        ({"advertise": "http://a"}, "--cluster-secret-file"),
        ({"redis_password_file": "/p"}, "redis_password_file without redis"),
    ],
)
def test_half_a_cluster_is_told_what_it_lacks(given: dict[str, object], missing: str) -> None:
    assert missing in mistake(**given)


def test_all_that_is_missing_is_told_at_once() -> None:
    told = mistake(advertise="http://a", peers=("http://a:80",), redis_password_file="/p")
    assert all(word in told for word in ("--cluster-secret-file", "this node itself", "without redis"))


@pytest.mark.parametrize("name", ["-a", "a b", "a/b", "a:1", "x" * 65, "ä"])
def test_a_name_that_would_not_fit_a_label_is_a_mistake(name: str) -> None:
    assert "is no name of a node" in mistake(**whole(node=name))


def test_peers_may_say_what_they_weigh() -> None:
    found = cluster(**whole(weight="1TiB", peers=("http://b:8080=2TiB", "http://c=1TiB")))
    assert found.peers == (Peer(url="http://b:8080", weight=2 << 40), Peer(url="http://c", weight=1 << 40))


def test_without_redis_either_all_weights_are_said_or_none() -> None:
    assert "the same on all nodes" in mistake(**whole(peers=("http://b=1TiB",)))
    assert "the same on all nodes" in mistake(**whole(weight="1TiB", peers=("http://b",)))
    assert cluster(**whole(weight="1TiB", peers=("http://b",), redis="redis://r")).weight == 1 << 40


def test_a_peer_named_twice_is_a_mistake_however_it_is_spelled() -> None:
    assert "http://b: named twice" in mistake(**whole(peers=("http://b", "http://B:80/")))


def test_a_cluster_that_is_shown_can_be_read_back(tmp_path: Path) -> None:
    flags = {f"cluster.{name}": ("--x", value) for name, value in whole(peers=("http://b", "http://c")).items()}
    shown = load(environment={}, flags=flags).config
    (tmp_path / "shown.toml").write_text(reference(shown, comments=False))
    assert load(file=tmp_path / "shown.toml", environment={}).config == shown
