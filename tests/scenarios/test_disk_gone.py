"""A disk that is taken away from a running node: served all the same, told to everybody who asks, taken back."""

from __future__ import annotations

from proxy.core.sizes import MIB
from tests.kit.stage import Stage
from tests.kit.waiting import until


async def test_a_node_whose_only_disk_went_away_relays_and_says_so(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    node = await stage.node(workers=2)
    assert (await stage.read(node, file)).complete
    (disk,) = node.plan.disk_folders
    away = disk.with_name("away")
    disk.rename(away)  # what unmounting looks like: another folder, an empty one, is at its place
    disk.mkdir()

    async def unready() -> bool:
        return not await node.is_ready()

    await until(unready, "the node is not ready", 20)
    page = await node.metrics()
    assert page.total("disk_up") == 0
    assert page.total("disk_errors_total") >= 1
    stage.allow_origin(None)  # it is relayed
    assert (await stage.read(node, file)).complete

    disk.rmdir()
    away.rename(disk)
    await until(node.is_ready, "the node is ready again", 60)
    assert (await stage.read(node, file)).complete
