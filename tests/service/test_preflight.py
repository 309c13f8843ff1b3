"""What can be seen to be wrong before a start."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import trustme

from proxy.cluster.secret import redis_address
from proxy.config.load import load
from proxy.config.redis_address import Login, OneServer
from proxy.config.schema import Config
from proxy.core.secret import Secret
from proxy.service.preflight import hints, obstacles


def config(**flags: object) -> Config:
    return load(
        environment={}, flags={name.replace("__", "."): (f"--{name}", value) for name, value in flags.items()}
    ).config


def test_a_folder_that_can_be_made_is_no_obstacle(tmp_path: Path) -> None:
    assert obstacles(config(store__disks=(f"{tmp_path}/a/b/c",))) == []


def test_the_access_log_may_be_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert obstacles(config(store__disks=(f"{tmp_path}/a",), log__access="~/access.jsonl")) == []
    (told,) = obstacles(config(store__disks=(f"{tmp_path}/a",), log__access="~/none/access.jsonl"))
    assert f"mkdir -p {tmp_path}/none" in told


def test_a_folder_without_permission_is_an_obstacle(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    (told,) = _obstacles_to_anybody(config(store__disks=(f"{tmp_path}/disk",)))
    assert "permission" in told
    assert "sudo install -d" in told


def test_a_file_system_without_room_is_an_obstacle() -> None:
    (told,) = obstacles(config(store__disks=("/proc/penstock",)))
    assert "file system is full" in told or "permission" in told


def test_a_folder_that_may_not_be_entered_is_an_obstacle_and_no_crash(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    told = _obstacles_to_anybody(
        config(
            store__disks=(f"{closed}/a/disk",),
            server__ready_file=f"{closed}/a/ready.json",
            log__access=f"{closed}/a/access.jsonl",
            server__tls_certificate=f"{closed}/a/c.pem",
            server__tls_key=f"{closed}/a/k.pem",
        )
    )
    closed.chmod(stat.S_IRWXU)
    assert len(told) == 4


def test_one_unusable_disk_of_two_is_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    both = config(store__disks=(f"{tmp_path}/file", f"{tmp_path}/good"))
    assert obstacles(both) == []
    assert any(f"disk {tmp_path}/file" in hint and "goes on without it" in hint for hint in hints(both))


def test_every_obstacle_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = obstacles(
        config(
            store__disks=(f"{tmp_path}/file", f"{tmp_path}/file/below"),
            server__ready_file=f"{tmp_path}/none/ready.json",
            log__access=f"{tmp_path}/none/access.jsonl",
            server__tls_certificate=f"{tmp_path}/c.pem",
            server__tls_key=f"{tmp_path}/k.pem",
        )
    )
    assert len(told) == 5


def test_a_folder_where_a_file_is_wanted_is_an_obstacle(tmp_path: Path) -> None:
    told = obstacles(
        config(store__disks=(f"{tmp_path}/disk",), server__ready_file=f"{tmp_path}", log__access=f"{tmp_path}")
    )
    assert len(told) == 2


def test_a_certificate_with_its_key_is_no_obstacle(tmp_path: Path) -> None:
    certificate, key = _pair(tmp_path, "one")
    assert obstacles(_tls(tmp_path, certificate, key)) == []


def test_a_key_of_another_certificate_is_an_obstacle(tmp_path: Path) -> None:
    certificate, _ = _pair(tmp_path, "one")
    _, key = _pair(tmp_path, "two")
    (told,) = obstacles(_tls(tmp_path, certificate, key))
    assert "no usable pair" in told


def test_a_key_that_wants_a_password_does_not_ask_for_one(tmp_path: Path) -> None:
    certificate, key = _pair(tmp_path, "one")
    key.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBXBgkqhkiG9w0BBQ0wSjA=\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    assert len(obstacles(_tls(tmp_path, certificate, key))) == 1


def test_an_admin_token_that_others_can_read_is_worth_a_hint(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o644)
    disks = (f"{tmp_path}/disk",)
    (told,) = hints(config(store__disks=disks, server__admin="0.0.0.0:8081", admin__token_file=str(token)))
    assert f"chmod 600 {token}" in told
    token.chmod(0o600)
    assert hints(config(store__disks=disks, admin__token_file=str(token))) == []
    token.unlink()
    assert len(obstacles(config(store__disks=disks, admin__token_file=str(token)))) == 1


def test_less_free_than_the_floor_is_worth_a_hint(tmp_path: Path) -> None:
    (told,) = hints(config(store__disks=(f"{tmp_path}/disk",), store__free_floor="900PiB"))
    assert "nothing new is kept there" in told
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "disk.json").write_text('{"format": 1, "id": "0123456789abcdef"}')
    (told,) = hints(config(store__disks=(f"{tmp_path}/disk",), store__free_floor="900PiB"))
    assert "the cache there gives way" in told


def test_a_disk_larger_than_what_is_free_is_worth_a_hint(tmp_path: Path) -> None:
    large = config(store__disks=(f"{tmp_path}/disk=900PiB",))
    assert any("free" in hint for hint in hints(large))
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "disk.json").write_text('{"format": 1, "id": "0123456789abcdef"}')
    assert hints(large) == [], "what is not free is what the cache holds"


def _pair(folder: Path, name: str) -> tuple[Path, Path]:
    issued = trustme.CA().issue_cert("localhost")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    return certificate, key


def _tls(folder: Path, certificate: Path, key: Path) -> Config:
    return config(store__disks=(f"{folder}/disk",), server__tls_certificate=str(certificate), server__tls_key=str(key))


def _obstacles_to_anybody(wanted: Config) -> list[str]:
    """What `obstacles` tells a user who is not root: root may write everywhere."""
    if os.geteuid() != 0:
        return obstacles(wanted)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, json.dumps(obstacles(wanted)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return [str(line) for line in json.loads(told)]


def test_a_secret_of_the_cluster_that_is_away_or_short_is_an_obstacle_that_does_not_show_it(tmp_path: Path) -> None:
    file = tmp_path / "cluster.secret"
    fleet = config(
        store__disks=(f"{tmp_path}/disk",), cluster__advertise="http://a:8080", cluster__secret_file=str(file)
    )
    (away,) = obstacles(fleet)
    assert f"{file}: cannot be read" in away
    file.write_text("geheim\n")
    (short,) = obstacles(fleet)
    assert "holds 6 bytes" in short
    assert "openssl rand -hex 32" in short
    assert "geheim" not in short
    file.write_text("ab" * 16 + "\n")
    assert obstacles(fleet) == []


def test_a_cluster_that_is_probably_not_meant_is_a_hint(tmp_path: Path) -> None:
    file = tmp_path / "cluster.secret"
    file.write_text("ab" * 32)
    file.chmod(0o644)
    told = hints(config(cluster__advertise="http://127.0.0.1:8080", cluster__secret_file=str(file)))
    assert [hint for hint in told if "chmod 600" in hint]
    assert [hint for hint in told if "nobody can be asked" in hint]
    assert [hint for hint in told if "from this machine alone" in hint]
    file.chmod(0o600)
    told = hints(config(cluster__advertise="http://a", cluster__secret_file=str(file), cluster__redis="redis://r"))
    assert not [hint for hint in told if "cluster" in hint]


def test_the_password_of_redis_comes_from_its_file(tmp_path: Path) -> None:
    secret, password = tmp_path / "cluster.secret", tmp_path / "redis.password"
    secret.write_text("ab" * 32)
    fleet = config(
        store__disks=(f"{tmp_path}/disk",),
        cluster__advertise="http://a",
        cluster__secret_file=str(secret),
        cluster__redis="redis://user@r:6379/1",
        cluster__redis_password_file=str(password),
    )
    assert "redis.password: cannot be read" in " ".join(obstacles(fleet))
    password.write_text(" \n")
    assert "holds no password" in " ".join(obstacles(fleet))
    password.write_text("geheim\n")
    assert obstacles(fleet) == []
    address = redis_address(fleet.cluster)
    assert address == OneServer(("r", 6379), 1, Login("user", Secret("geheim")))
    assert "geheim" not in repr(address)
