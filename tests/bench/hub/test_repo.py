"""Commits, refs and staged files."""

from pathlib import Path

import pytest

from bench.hub.world import GitFile, LfsFile, RepoKind, RepoSpec, World


def test_staged_files_appear_with_the_commit() -> None:
    repo = World().add_model("acme/tiny")
    before = repo.head()
    repo.put_text("a.txt", "one")
    assert repo.head() == before
    after = repo.commit("Add a")
    assert repo.head("main") == after
    assert repo.file("a.txt") == GitFile(b"one")


def test_old_commits_keep_their_files() -> None:
    repo = World().add_model("acme/tiny")
    repo.put_text("a.txt", "one")
    first = repo.commit("one")
    repo.put_text("a.txt", "two")
    repo.remove("b.txt")
    repo.commit("two")
    assert repo.file("a.txt", first) == GitFile(b"one")
    assert repo.file("a.txt") == GitFile(b"two")


def test_worlds_of_one_seed_are_alike() -> None:
    def head(seed: int) -> str:
        repo = World(seed).add_model("acme/tiny")
        repo.put_blob("m.bin", 100)
        return repo.commit("x")

    assert head(1) == head(1) != head(2)


@pytest.mark.parametrize(
    "revision",
    ["main", "dev", "v1.0", "refs/pr/1", "refs/heads/main", "refs/tags/v1.0", "refs/convert/parquet", "HEAD"],
)
def test_every_kind_of_ref_names_the_commit(revision: str) -> None:
    repo = World().add_dataset("acme/data")
    commit = repo.commit("x")
    repo.branch("dev")
    repo.tag("v1.0")
    repo.pull_request(1)
    repo.convert("parquet")
    assert repo.head(revision) == repo.head(commit) == repo.head(commit[:7]) == commit


def test_an_unknown_revision_is_none() -> None:
    repo = World().add_model("acme/tiny")
    assert repo.find("nope") is None
    assert repo.find("abcd") is None
    with pytest.raises(KeyError, match="nope"):
        repo.head("nope")


def test_a_commit_on_another_branch_leaves_main() -> None:
    repo = World().add_model("acme/tiny")
    repo.put_text("a.txt", "one")
    main = repo.commit("one")
    repo.put_text("a.txt", "two")
    dev = repo.commit("two", branch="dev")
    assert (repo.head("main"), repo.head("dev")) == (main, dev)
    assert [commit.id for commit in repo.history(dev)][:2] == [dev, main]


def test_a_forgotten_commit_is_gone_but_its_children_stay() -> None:
    repo = World().add_model("acme/tiny")
    squashed = repo.commit("one")
    head = repo.commit("two")
    repo.forget(squashed)
    assert repo.find(squashed) is None
    assert [commit.id for commit in repo.history(head)] == [head]


def test_a_deleted_branch_is_no_revision() -> None:
    repo = World().add_model("acme/tiny")
    repo.branch("dev")
    repo.delete_branch("dev")
    assert repo.find("dev") is None


def test_git_and_lfs_identities_are_gits_own() -> None:
    repo = World().add_model("acme/tiny")
    assert repo.put_text("a", "hello\n").oid == "ce013625030ba8dba906f756967f9e9ca394464a"
    blob = repo.put_bytes("b.bin", b"hello\n", lfs=True)
    repo.commit("x")
    file = repo.file("b.bin")
    assert isinstance(file, LfsFile)
    assert f"oid sha256:{blob.sha256}\nsize 6\n" in file.pointer.decode()


def test_a_folder_becomes_git_and_lfs_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("x")
    (tmp_path / "sub" / "config.json").write_text("{}")
    (tmp_path / "big.txt").write_bytes(b"x" * 101)
    (tmp_path / "model.safetensors").write_bytes(b"w")
    repo = World().add_model("acme/real")
    repo.add_folder(tmp_path, threshold=100)
    commit = repo.commits[repo.commit("Add folder")]
    assert {path: type(file) for path, file in commit.files.items()} == {
        "sub/config.json": GitFile,
        "big.txt": LfsFile,
        "model.safetensors": LfsFile,
    }


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="acme/real"):
        World().add_model("acme/real").add_folder(tmp_path / "nope")


@pytest.mark.parametrize("repo_id", ["", "a/b/c", "a/", "/a"])
def test_ids_have_one_or_two_segments(repo_id: str) -> None:
    with pytest.raises(ValueError, match="repo id"):
        RepoSpec(RepoKind.MODEL, repo_id)


def test_a_spec_may_name_its_kind() -> None:
    assert RepoSpec.parse("datasets/acme/rain") == RepoSpec(RepoKind.DATASET, "acme/rain")
    assert RepoSpec.parse("acme/tiny") == RepoSpec(RepoKind.MODEL, "acme/tiny")
    assert RepoSpec.parse("gpt2") == RepoSpec(RepoKind.MODEL, "gpt2")


def test_an_id_is_taken_once_per_kind() -> None:
    world = World()
    world.add_model("acme/tiny")
    world.add_dataset("acme/tiny")
    with pytest.raises(ValueError, match="exists"):
        world.add_model("acme/tiny")


def test_a_renamed_repo_is_found_under_both_ids_in_any_case() -> None:
    world = World()
    repo = world.add_model("acme/old")
    world.rename("acme/old", "acme/new")
    assert world.find(RepoKind.MODEL, "acme/old") is repo
    assert world.find(RepoKind.MODEL, "ACME/New") is repo
    assert repo.id == "acme/new"


def test_rights() -> None:
    world = World()
    world.add_user("alice", token="t")
    alice, nobody = world.caller("Bearer t"), world.caller(None)
    private = world.add_model("acme/private", private=True)
    gated = world.add_model("acme/gated", gated=True)
    assert not world.may_see(alice, private)
    assert world.may_see(nobody, gated)
    assert not world.may_read(alice, gated)
    private.grant("alice")
    gated.grant("alice")
    assert world.may_read(alice, private)
    assert world.may_read(alice, gated)
    private.revoke("alice")
    assert not world.may_see(alice, private)
