"""The chart: linted and rendered by Helm itself, its resources held against the schemas of Kubernetes."""

from __future__ import annotations

import asyncio
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.helm.schema import schema
from proxy.config.load import load
from tests.deploy.chart import ALL, CHART, environment, rendered, resource
from tests.kit.judges import DEPLOY, judged, python
from tests.kit.stage import Stage


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
    kinds = {one["kind"] for one in rendered(json.dumps(values))}
    assert {"StatefulSet", "Service", "PodDisruptionBudget", "ConfigMap"} <= kinds


def test_the_schema_of_the_values_is_that_of_the_configuration() -> None:
    assert json.loads((CHART / "values.schema.json").read_text()) == schema(), "run: make generated"


@pytest.mark.parametrize(
    "wrong", [{"config": {"store": {"dsiks": "/a"}}}, {"replica": 3}, {"config": {"server": {"workers": True}}}]
)
def test_what_is_no_value_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match=r"additional properties|got boolean"):
        rendered(json.dumps(wrong))


def test_several_nodes_without_a_redis_are_refused() -> None:
    with pytest.raises(AssertionError, match=r"set cluster\.redis"):
        rendered(json.dumps({"valkey": {"enabled": False}}))


def test_the_mirror_takes_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text(resource("ConfigMap")["data"]["penstock.toml"])
    assert tomllib.loads(file.read_text())["server"]["workers"] == 8
    config = load(file=file, environment=environment(), flags={}).config
    assert config.server.workers == 8
    assert config.fetch.span == 32 << 20
    assert config.cluster.advertise == "http://mirror-penstock-0.mirror-penstock-nodes.ml.svc:8080"
    assert config.cluster.redis == "redis://mirror-penstock-valkey:6379"


def test_a_pod_has_time_to_drain_and_says_when_it_is_ready() -> None:
    pod = resource("StatefulSet")["spec"]["template"]["spec"]
    server = load(environment=environment(), flags={}).config.server
    assert pod["terminationGracePeriodSeconds"] > server.drain_timeout + 5 + 20
    [container] = pod["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/-/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/-/livez"


def test_no_container_may_do_more_than_the_restricted_standard_allows() -> None:
    pods = [
        one["spec"].get("template", one)["spec"]
        for one in rendered(json.dumps(ALL))
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
    pods = resource("StatefulSet")["spec"]["template"]["metadata"]["labels"].items()
    for name in ("mirror-penstock", "mirror-penstock-nodes"):
        assert resource("Service", name=name)["spec"]["selector"].items() <= pods
    assert resource("Service", name="mirror-penstock-nodes")["spec"]["clusterIP"] == "None"
    assert resource("StatefulSet")["spec"]["serviceName"] == "mirror-penstock-nodes"
    watched = resource("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    assert watched <= resource("Service", name="mirror-penstock-nodes")["metadata"]["labels"].items()
    assert not watched <= resource("Service")["metadata"]["labels"].items(), "each node is watched once"


def test_the_rules_are_those_that_promtool_has_judged(tmp_path: Path) -> None:
    groups = resource("PrometheusRule")["spec"]["groups"]
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
    text = resource("ConfigMap", name="mirror-penstock-dashboard")["data"]["penstock.json"]
    assert json.loads(text) == json.loads((DEPLOY / "grafana/penstock.json").read_text())


async def test_helm_test_passes_with_a_node_that_serves_and_fails_without(stage: Stage) -> None:
    """What the chart's test pod runs, word for word but for the name of the service."""
    repo = stage.repo("hf-internal-testing/tiny-random-bert")
    repo.put_text("config.json", b'{"hidden_size": 32}')
    repo.commit("Add config.json")
    node = await stage.node()
    stage.others_ask()
    stage.wants(stage.file(repo.id, "config.json"))
    pod = resource("Pod", name="mirror-penstock-test")["spec"]
    [container] = pod["containers"]
    [script] = container["args"]
    assert container["command"] == ["python", "-c"]
    assert script.count("http://mirror-penstock:80/") == 1
    passed, said = await _run(script.replace("http://mirror-penstock:80", node.url))
    assert passed == 0, said
    assert said.startswith("19 bytes, penstock; hit")
    failed, said = await _run(script.replace("http://mirror-penstock:80/hf-internal-testing", f"{node.url}/nobody"))
    assert failed == 1
    assert "HTTP Error 401" in said, "as the Hub says of a repo that is not there"


async def _run(script: str) -> tuple[int | None, str]:
    """As the pod does: in another process, with what Python itself brings."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", script), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode()
