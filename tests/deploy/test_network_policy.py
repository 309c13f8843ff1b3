"""Whom the chart's NetworkPolicy lets in and out, decided as Kubernetes decides it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.config.load import load
from tests.deploy.chart import ALL, environment, rendered, resource


@dataclass(frozen=True)
class Place:
    """A pod, and the namespace it is in; None: somewhere outside of the cluster."""

    labels: dict[str, str] | None
    namespace: str = "ml"


NODE = Place(resource("StatefulSet")["spec"]["template"]["metadata"]["labels"])
VALKEY = Place(resource("Deployment", name="mirror-penstock-valkey")["spec"]["template"]["metadata"]["labels"])
TEST = Place(resource("Pod", name="mirror-penstock-test")["metadata"]["labels"])
PROMETHEUS = Place({"app.kubernetes.io/name": "prometheus"}, "monitoring")
TRAINING = Place({"app": "training"}, "research")
OUTSIDE = Place(None)


@pytest.mark.parametrize("place", [NODE, TEST, PROMETHEUS, TRAINING, OUTSIDE])
def test_anybody_may_ask_for_files(place: Place) -> None:
    assert _lets_in(place, 8080)


def test_who_watches_may_ask_the_admin_port_and_nobody_else() -> None:
    assert _lets_in(PROMETHEUS, 8081)
    assert [place for place in (NODE, VALKEY, TEST, TRAINING, OUTSIDE) if _lets_in(place, 8081)] == []


def test_without_a_namespace_that_watches_nobody_may_ask_the_admin_port() -> None:
    shut = json.dumps({"networkPolicy": {"enabled": True}})
    assert not any(_lets_in(place, 8081, shut) for place in (NODE, PROMETHEUS, TRAINING, OUTSIDE))
    assert _lets_in(TRAINING, 8080, shut)


@pytest.mark.parametrize("port", [22, 443, 6379, 9090])
def test_no_other_port_is_open(port: int) -> None:
    assert not any(_lets_in(place, port) for place in (NODE, VALKEY, PROMETHEUS, TRAINING, OUTSIDE))


def test_a_node_reaches_its_peers_its_redis_name_service_and_the_origin() -> None:
    assert _lets_out(NODE, 8080)
    assert _lets_out(VALKEY, 6379)
    assert _lets_out(OUTSIDE, 53, "UDP")
    assert _lets_out(OUTSIDE, 53)
    assert _lets_out(OUTSIDE, 443)


def test_a_node_reaches_nothing_else() -> None:
    assert not _lets_out(NODE, 8081)
    assert not _lets_out(TRAINING, 8080)
    assert [port for port in (22, 25, 80, 3306, 8080, 9090) if _lets_out(OUTSIDE, port)] == []


def test_a_redis_and_an_origin_at_other_ports_are_reached_when_they_are_named() -> None:
    given = json.dumps({"networkPolicy": {"enabled": True, "redis": [6380, 26379], "origin": [8443]}})
    assert [port for port in (443, 6379, 6380, 8443, 26379) if _lets_out(OUTSIDE, port, values=given)] == [
        6380,
        8443,
        26379,
    ]


def test_the_policy_is_about_the_nodes_and_both_ways() -> None:
    spec = resource("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert _selects(spec["podSelector"], NODE.labels)
    assert not _selects(spec["podSelector"], VALKEY.labels)
    assert not _selects(spec["podSelector"], TEST.labels)


def test_ports_of_the_policy_are_those_that_the_nodes_use() -> None:
    config = load(environment=environment(), flags={}).config
    assert config.server.listen.port == 8080
    assert config.server.admin.port == 8081
    redis = resource("Service", name="mirror-penstock-valkey")["spec"]["ports"]
    assert [port["port"] for port in redis] == [6379]


def test_without_the_policy_there_is_none() -> None:
    assert "NetworkPolicy" not in {one["kind"] for one in rendered("{}")}


def _lets_in(place: Place, port: int, values: str = json.dumps(ALL)) -> bool:
    rules = resource("NetworkPolicy", values)["spec"]["ingress"]
    return any(_is_meant(rule.get("from"), place) and _has_port(rule, port, "TCP") for rule in rules)


def _lets_out(place: Place, port: int, protocol: str = "TCP", *, values: str = json.dumps(ALL)) -> bool:
    rules = resource("NetworkPolicy", values)["spec"]["egress"]
    return any(_is_meant(rule.get("to"), place) and _has_port(rule, port, protocol) for rule in rules)


def _has_port(rule: dict[str, Any], port: int, protocol: str) -> bool:
    """No ports named: every one (networking.k8s.io/v1, NetworkPolicyPort)."""
    ports = rule.get("ports")
    return ports is None or any(one["port"] == port and one.get("protocol", "TCP") == protocol for one in ports)


def _is_meant(peers: list[dict[str, Any]] | None, place: Place) -> bool:
    """None named: everybody. A selector of pods alone means those of the policy's own namespace."""
    if peers is None:
        return True
    for peer in peers:
        assert peer.keys() <= {"podSelector", "namespaceSelector"}, "this test knows no other"
        namespace = {"kubernetes.io/metadata.name": place.namespace}
        here = (
            _selects(peer["namespaceSelector"], namespace) if "namespaceSelector" in peer else place.namespace == "ml"
        )
        if place.labels is not None and here and _selects(peer.get("podSelector", {}), place.labels):
            return True
    return False


def _selects(selector: dict[str, Any], labels: dict[str, str] | None) -> bool:
    assert selector.keys() <= {"matchLabels"}, "this test knows no other"
    return labels is not None and selector.get("matchLabels", {}).items() <= labels.items()
