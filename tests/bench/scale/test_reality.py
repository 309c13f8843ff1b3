"""Real nodes and simulated ones, given the same trace, small: with room for all no moment decides anything."""

from __future__ import annotations

import json

from click.testing import CliRunner

from bench.scale.verb import scale


def test_two_real_nodes_ask_origin_and_peer_for_what_the_simulation_says() -> None:
    fewer = ("duration=2s", "load.rate=20", "catalogue.popular=20", "catalogue.releases=2", "catalogue.once=4")
    words = ("reality", "--nodes", "2", "--disk", "1GiB", "--json", *(word for one in fewer for word in ("--set", one)))
    done = CliRunner().invoke(scale, words)
    told = json.loads(done.stdout)
    assert done.exit_code == 0, told
    assert told["readings"] > 10
    assert abs(told["simulated"]["origin_share"] - told["real"]["origin_share"]) < 0.001
