"""The chart as Helm itself renders it; what Kubernetes knows of it by itself is held against its schemas."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tests.kit.judges import DEPLOY, python

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
def rendered(values: str = "{}") -> list[dict[str, Any]]:
    """Every resource. Raises AssertionError when Helm or Kubernetes would refuse it."""
    documents: list[dict[str, Any]] = json.loads(python(RENDER, CHART, values).partition("RENDERED")[2])
    return documents


def resource(kind: str, values: str = json.dumps(ALL), name: str = "mirror-penstock") -> dict[str, Any]:
    """The resource of that kind and name."""
    [only] = [found for found in rendered(values) if (found["kind"], found["metadata"]["name"]) == (kind, name)]
    return only


def environment() -> dict[str, str]:
    """What the pod's first container is started with, in pod 0."""
    [container] = resource("StatefulSet")["spec"]["template"]["spec"]["containers"]
    found = {one["name"]: one.get("value", "mirror-penstock-0") for one in container["env"]}
    found["PENSTOCK_CLUSTER__ADVERTISE"] = found["PENSTOCK_CLUSTER__ADVERTISE"].replace(
        "$(PENSTOCK_CLUSTER__NODE)", "mirror-penstock-0"
    )
    return found
