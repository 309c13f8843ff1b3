"""`/api/datasets/{id}/parquet`: where the conversion of a dataset to Parquet (`refs/convert/parquet`) lies."""

from typing import Any

from . import problems
from .messages import Answer, json_answer, redirect
from .paths import RepoTarget, quote_path, quote_segment
from .repo import Repo, RepoKind
from .site import Site

CONVERSION = "refs/convert/parquet"


def parquet(site: Site, repo: Repo, target: RepoTarget) -> Answer:
    """Absolute addresses by configuration and split; those of one configuration, or of one split; or, behind such an
    address, the redirect to the file."""
    commit_id = repo.find(CONVERSION)
    if repo.kind is not RepoKind.DATASET or commit_id is None:
        raise problems.no_such_page()
    base = f"{site.hub_url}/api/datasets/{repo.id}/parquet"
    files: dict[str, dict[str, dict[str, str]]] = {}
    for path in sorted(repo.commits[commit_id].files):
        if path.count("/") != 2 or not path.endswith(".parquet"):
            continue
        configuration, split, _ = path.split("/")
        named = files.setdefault(configuration, {}).setdefault(split, {})
        place = f"{quote_segment(configuration)}/{quote_segment(split)}/{len(named)}.parquet"
        named[f"{base}/{place}"] = path
    try:
        match [part for part in (target.revision, *target.path.split("/")) if part]:
            case []:
                return json_answer({name: _listed(splits) for name, splits in files.items()})
            case [configuration]:
                return json_answer(_listed(files[configuration]))
            case [configuration, split]:
                return json_answer([*files[configuration][split]])
            case [configuration, split, number]:
                place = f"{quote_segment(configuration)}/{quote_segment(split)}/{number}"
                path = files[configuration][split][f"{base}/{place}"]
                where = f"/datasets/{repo.id}/resolve/{quote_segment(CONVERSION)}/{quote_path(path)}"
                return redirect(302, site.hub_url + where)
    except KeyError:
        pass
    raise problems.no_such_page()


def _listed(splits: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {split: [*addresses] for split, addresses in splits.items()}
