"""The image and the compose file. No daemon runs here: what can be judged without one is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from proxy.config.load import load
from tests.kit.judges import DEBIAN_PYTHON, DEPLOY, ROOT, judged, python

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
COMPOSE = DEPLOY / "docker" / "compose.yml"


def test_hadolint_has_nothing_to_say() -> None:
    assert judged("hadolint", str(DOCKERFILE)) == ""


def test_it_runs_as_nobody_and_ends_by_sigterm() -> None:
    final = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in final
    assert "\nSTOPSIGNAL SIGTERM\n" in final
    assert '\nENTRYPOINT ["penstock"]\n' in final


def test_what_is_copied_is_let_into_the_context_and_makes_the_whole_program(tmp_path: Path) -> None:
    """The steps of the first stage, but for the packages that the lock file names."""
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    build = DOCKERFILE.read_text().partition("\nFROM ")[2].partition("\nFROM ")[0]
    copied = [word for line in re.findall(r"^COPY (.+)$", build, re.M) for word in line.split()[:-1]]
    assert copied
    for name in copied:
        assert any(fnmatch(name, pattern) for pattern in let_in), f"{name} is left out by .dockerignore"
        _copy(ROOT / name, tmp_path / name)
    words = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path / "out"), ".")
    subprocess.run([sys.executable, *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    [wheel] = (tmp_path / "out").glob("penstock-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "proxy").rglob("*.py")}
    assert sources <= held


def test_the_settings_of_the_image_are_settings() -> None:
    stated = re.findall(r"(PENSTOCK_\w+)=(\S+)", DOCKERFILE.read_text())
    config = load(environment=dict(stated), flags={}).config
    assert str(config.server.listen) == "0.0.0.0:8080"


def test_compose_takes_its_file() -> None:
    """The whole program, anchors and merges resolved: what it would hand to a daemon."""
    made = yaml.safe_load(_composed(COMPOSE))
    assert set(made["services"]) == {"cache-1", "cache-2", "haproxy", "valkey", "prometheus", "grafana"}
    for name in ("cache-1", "cache-2"):
        node = made["services"][name]
        assert node["build"] == {"context": str(ROOT), "dockerfile": "deploy/docker/Dockerfile"}
        assert node["read_only"] is True
        assert node["cap_drop"] == ["ALL"]
        assert node["security_opt"] == ["no-new-privileges:true"]
        assert node["environment"]["PENSTOCK_CLUSTER__REDIS"] == "redis://valkey:6379"


def test_compose_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yml"
    wrong.write_text(COMPOSE.read_text().replace("cap_drop:", "cap_drp:"))
    with pytest.raises(AssertionError, match=r"Unsupported config option for services\.cache-1: 'cap_drp'"):
        _composed(wrong)


def test_the_nodes_of_the_compose_file_have_settings_that_fit_together(tmp_path: Path) -> None:
    for name in ("cluster_secret", "admin_token"):
        (tmp_path / name).write_text("s" * 64)
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    nodes = {name: service for name, service in services.items() if name.startswith("cache-")}
    assert len(nodes) == 2
    for name, node in nodes.items():
        config = load(environment=node["environment"], flags={}).config
        assert config.cluster.name == name
        assert config.cluster.advertise == f"http://{name}:8080"
        assert name in config.admin.names
        assert node["read_only"]
        assert node["cap_drop"] == ["ALL"]
        drain = config.server.drain_delay + config.server.drain_timeout
        assert float(node["stop_grace_period"].removesuffix("s")) > drain + 20


def test_what_the_compose_file_mounts_is_there() -> None:
    mounted = re.findall(r"- (\.{1,2}/[\w./-]+):", COMPOSE.read_text())
    mounted += re.findall(r'"(\./[\w./-]+):', COMPOSE.read_text())
    assert len(mounted) >= 4
    assert [name for name in mounted if not (COMPOSE.parent / name).exists()] == []


def test_its_haproxy_is_the_one_that_is_shipped_for_two_nodes() -> None:
    shipped = (DEPLOY / "haproxy/haproxy.cfg").read_text().partition("\nglobal\n")[2]
    wanted = re.sub(r"^    server cache-3 .*\n", "", shipped, flags=re.M).replace(".example:", ":")
    ours = (DEPLOY / "docker/haproxy.cfg").read_text().partition("\nglobal\n")[2]
    assert ours == re.sub(r"cache-(\d)\.example", r"cache-\1", wanted)


def test_prometheus_takes_its_configuration() -> None:
    assert "valid" in judged("promtool", "check", "config", "--syntax-only", "prometheus.yml", folder=DEPLOY / "docker")


def _composed(file: Path) -> str:
    """What `docker-compose config` prints. Raises AssertionError with its complaint."""
    script = (
        "import sys, warnings; warnings.simplefilter('ignore');"
        "sys.path.append(sys.argv.pop(1)); sys.argv[0] = 'docker-compose';"
        "from compose.cli.main import main; main()"
    )
    return python(script, DEBIAN_PYTHON, "--file", file, "config")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    else:
        shutil.copy(source, target)
