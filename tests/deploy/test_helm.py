"""The chart: linted and rendered by Helm itself, its resources held against the schemas of Kubernetes."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.helm.schema import schema
from proxy.config.load import load
from tests.kit.judges import DEPLOY, judged, python

CHART = DEPLOY / "helm" / "penstock"
ALL: dict[str, Any] = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "runbookBase": "https://example.org/"},
    "dashboard": {"enabled": True},
    "networkPolicy": {"enabled": True, "monitoring": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
    "persistence": {"storageClass": "local-nvme"},
    "tolerations": [{"key": "cache", "operator": "Exists"}],
    "config": {"server": {"workers": 8}, "origin": {"redirect_hosts": [".hf.co"]}, "fetch": {"span": "32MiB"}},
}
"""Values that switch everything on."""
RENDER = """
import json, sys, yaml, helm_python, kubernetes_validate
given = json.loads(sys.argv[2])
rendered = helm_python.Chart.load(sys.argv[1]).render(given, name="mirror", namespace="ml")
texts = [text for name, text in rendered.items() if name.endswith(".yaml")]
documents = [one for text in texts for one in yaml.safe_load_all(text) if one]
for one in documents:
    if "monitoring.coreos.com" not in one["apiVersion"]:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
print("RENDERED" + json.dumps(documents))
"""
"""Renders, judges what Kubernetes knows by itself, and prints all of it."""


@cache
def _rendered(values: str = "{}") -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = json.loads(python(RENDER, CHART, values).partition("RENDERED")[2])
    return documents


def _one(kind: str, values: str = json.dumps(ALL), name: str = "mirror-penstock") -> dict[str, Any]:
    [found] = [one for one in _rendered(values) if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def test_helm_finds_nothing_wrong() -> None:
    script = "import helm_python, sys, json; print('LINT' + json.dumps(helm_python.lint(sys.argv[1], strict=True)))"
    report = json.loads(python(script, CHART).partition("LINT")[2])
    assert report["errors"] == []
    assert [one for one in report["messages"] if one["severity"] > 1] == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        ALL,
        {"replicas": 1, "valkey": {"enabled": False}},
        {"cluster": {"redis": "redis://mine:6379", "existingSecret": "a"}, "admin": {"existingSecret": "b"}},
    ],
    ids=["as it is", "everything", "one node", "what exists"],
)
def test_what_is_rendered_is_known_to_kubernetes(values: dict[str, Any]) -> None:
    kinds = {one["kind"] for one in _rendered(json.dumps(values))}
    assert {"StatefulSet", "Service", "PodDisruptionBudget", "ConfigMap"} <= kinds


def test_the_schema_of_the_values_is_that_of_the_configuration() -> None:
    assert json.loads((CHART / "values.schema.json").read_text()) == schema(), "run: make generated"


@pytest.mark.parametrize(
    "wrong", [{"config": {"store": {"dsiks": "/a"}}}, {"replica": 3}, {"config": {"server": {"workers": True}}}]
)
def test_what_is_no_value_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match=r"additional properties|got boolean"):
        _rendered(json.dumps(wrong))


def test_several_nodes_without_a_redis_are_refused() -> None:
    with pytest.raises(AssertionError, match=r"set cluster\.redis"):
        _rendered(json.dumps({"valkey": {"enabled": False}}))


def test_the_mirror_takes_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text(_one("ConfigMap")["data"]["penstock.toml"])
    assert tomllib.loads(file.read_text())["server"]["workers"] == 8
    config = load(file=file, environment=_environment(), flags={}).config
    assert config.server.workers == 8
    assert config.fetch.span == 32 << 20
    assert config.cluster.advertise == "http://mirror-penstock-0.mirror-penstock-nodes.ml.svc:8080"
    assert config.cluster.redis == "redis://mirror-penstock-valkey:6379"


def test_a_pod_has_time_to_drain_and_says_when_it_is_ready() -> None:
    pod = _one("StatefulSet")["spec"]["template"]["spec"]
    server = load(environment=_environment(), flags={}).config.server
    assert pod["terminationGracePeriodSeconds"] > server.drain_timeout + 5 + 20
    [container] = pod["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/-/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/-/livez"


def test_no_container_may_do_more_than_the_restricted_standard_allows() -> None:
    pods = [
        one["spec"].get("template", one)["spec"]
        for one in _rendered(json.dumps(ALL))
        if one["kind"] in ("StatefulSet", "Deployment", "Pod")
    ]
    assert len(pods) == 3
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_services_lead_to_the_pods() -> None:
    pods = _one("StatefulSet")["spec"]["template"]["metadata"]["labels"].items()
    for name in ("mirror-penstock", "mirror-penstock-nodes"):
        assert _one("Service", name=name)["spec"]["selector"].items() <= pods
    assert _one("Service", name="mirror-penstock-nodes")["spec"]["clusterIP"] == "None"
    assert _one("StatefulSet")["spec"]["serviceName"] == "mirror-penstock-nodes"
    watched = _one("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    assert watched <= _one("Service", name="mirror-penstock-nodes")["metadata"]["labels"].items()
    assert not watched <= _one("Service")["metadata"]["labels"].items(), "each node is watched once"


def test_the_rules_are_those_that_promtool_has_judged(tmp_path: Path) -> None:
    groups = _one("PrometheusRule")["spec"]["groups"]
    shipped = [
        yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["groups"] for name in ("alerts.yml", "recording.yml")
    ]
    alerts = [rule for group in shipped[0] for rule in group["rules"]]
    ours = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert [rule["expr"] for rule in ours] == [rule["expr"] for rule in alerts]
    assert ours[0]["annotations"]["runbook_url"] == "https://example.org/docs/operations.md#penstockdown"
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    assert "SUCCESS" in judged("promtool", "check", "rules", "rules.yml", folder=tmp_path)


def test_the_dashboard_is_the_one_that_is_shipped() -> None:
    text = _one("ConfigMap", name="mirror-penstock-dashboard")["data"]["penstock.json"]
    assert json.loads(text) == json.loads((DEPLOY / "grafana/penstock.json").read_text())


def _environment() -> dict[str, str]:
    """What the pod's first container is started with, in pod 0."""
    [container] = _one("StatefulSet")["spec"]["template"]["spec"]["containers"]
    found = {one["name"]: one.get("value", "mirror-penstock-0") for one in container["env"]}
    found["PENSTOCK_CLUSTER__ADVERTISE"] = found["PENSTOCK_CLUSTER__ADVERTISE"].replace(
        "$(PENSTOCK_CLUSTER__NODE)", "mirror-penstock-0"
    )
    return found
