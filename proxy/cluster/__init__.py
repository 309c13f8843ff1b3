"""What makes many nodes one cache: who is there, who is responsible for a slice, who fetches it just now.

Correctness never depends on this room: blobs are verified, so that a wrong view or a lost lease costs a second download
and nothing else. No hit needs it, and nobody waits for Redis longer than a quarter of a second.

Enter by `cluster`. `redis` is the line to Redis (or Valkey), `client` what it is made of, `hints` what is heard there,
`keys` all that is kept in it. `lease` is who reads a slice from the origin, by the scripts of `leasebook`. `shared` is
what nodes know together, under a `seal`: `commons` what the origin said, a question at a time (`turns`), `allowances`
what it still lets us ask, `notices` what is no longer as it was.
"""
