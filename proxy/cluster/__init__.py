"""What makes many nodes one cache: who is there, who is responsible for a slice, who fetches it just now.

Correctness never depends on this room: blobs are verified, so that a wrong view or a lost lease costs a second download
and nothing else. No hit needs it, and nobody waits for Redis longer than a quarter of a second. `redis` is the line to
Redis (or Valkey), `hints` what is heard from it, `lease` who reads a slice from the origin.
"""
