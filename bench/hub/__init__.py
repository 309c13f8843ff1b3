"""A synthetic Hugging Face Hub, so that a mirror can be tried without one.

`world` says what exists (repos, commits, users); `paths` reads a request target; `pages`, `trees`, `files` and `cdn`
are pure and decide an `Answer`; `faults` says what shall go wrong and `distort` makes it so; `delivery` writes the
answer to the socket; `server` binds the Hub, its "CDN" and its "CAS" to three ports. `content` stands alone: clients
import it to check any byte.

    world = World()
    repo = world.add_model("acme/tiny")
    blob = repo.put_blob("model.safetensors", 300 * MIB)
    repo.commit("Upload model")
    async with SyntheticHub.open(world) as hub:
        hub.faults.add(Cut(after=25_000_000), kinds=("cdn",), times=1)
"""
