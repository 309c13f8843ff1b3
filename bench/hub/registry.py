"""The registry plane, as ollama and older llama.cpp ask for it: a manifest per quantisation, blobs by digest
(HUB-PROTOCOL §5.2, §5.3). Configuration, template and parameters of a model exist here and nowhere else.
"""

import hashlib
import json
from typing import Any

from . import lfs, problems
from .messages import Answer, Asked, json_answer, redirect, whole_answer
from .repo import LfsFile, Repo
from .site import Site, UrlTerms

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_DIGEST = "sha256:"


def manifest(asked: Asked, repo: Repo, tag: str) -> Answer:
    """What belongs to the model of that tag; who is called llama-cpp learns the names of the files too."""
    path, model = _model(repo, tag)
    small = _small_layers(repo, model)
    layers = [_layer("model", model.blob.sha256, model.size)]
    layers += [_layer(name, _sha256(content), len(content)) for name, content in small.items() if name != "config"]
    config = {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "digest": _DIGEST + _sha256(small["config"]),
        "size": len(small["config"]),
    }
    body: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
    if "llama-cpp" in asked.headers.get("user-agent", ""):
        lfs_facts = {"sha256": model.blob.sha256, "size": model.size, "pointerSize": len(model.pointer)}
        body["ggufFile"] = {"rfilename": path, "blobId": model.oid, "size": model.size, "lfs": lfs_facts}
    return json_answer(body, headers={"content-type": MANIFEST_TYPE})


def blob(site: Site, asked: Asked, repo: Repo, digest: str, terms: UrlTerms) -> Answer:
    """A layer: a model's at the CDN, a small one here."""
    sha256 = digest.removeprefix(_DIGEST)
    found = lfs.find(repo, sha256)
    if found is not None:
        path, file = found
        return redirect(307, site.signer.mint(site.cdn_url, file.blob, path.rpartition("/")[2], terms))
    for path in repo.commits[repo.head()].files:
        if path.endswith(".gguf"):
            for content in _small_layers(repo, _model_at(repo, path)).values():
                if _sha256(content) == sha256:
                    headers = {"docker-content-digest": digest, "etag": f'"{digest}"'}
                    return whole_answer(content, "application/octet-stream", headers=headers)
    raise problems.no_such_blob()


def small_layers(repo: Repo, path: str) -> dict[str, bytes]:
    """The layers of a model that are no file of its repo, by name."""
    return _small_layers(repo, _model_at(repo, path))


def _model(repo: Repo, tag: str) -> tuple[str, LfsFile]:
    paths = sorted(path for path in repo.commits[repo.head()].files if path.endswith(".gguf"))
    fitting = [path for path in paths if tag == "latest" or tag.lower() in path.lower()]
    if not fitting:
        raise problems.no_such_tag(tag)
    return fitting[0], _model_at(repo, fitting[0])


def _model_at(repo: Repo, path: str) -> LfsFile:
    file = repo.file(path)
    assert isinstance(file, LfsFile), "a model is a large file"
    return file


def _small_layers(repo: Repo, model: LfsFile) -> dict[str, bytes]:
    facts = {"model_format": "gguf", "model_family": "synthetic", "rootfs": {"diff_ids": [model.blob.sha256]}}
    return {
        "config": json.dumps(facts).encode(),
        "template": b"{{ .System }} {{ .Prompt }} of " + repo.id.encode(),
        "params": json.dumps({"stop": ["<end>"]}).encode(),
    }


def _layer(name: str, sha256: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"application/vnd.ollama.image.{name}", "digest": _DIGEST + sha256, "size": size}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
