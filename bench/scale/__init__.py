"""A fleet on a virtual clock: what many nodes hold, ask one another, the origin and Redis, without the nodes.

`trace` is the workload of `bench.load` as readings in time. `shelf` is what a node keeps, evicted by the store's own
module; `fleet` who is asked for what, by the cluster's own modules; `leases` what Redis is asked. `che` is the theory
to compare with, `reality` real nodes given the same trace. The only room of the bench that knows the product from
inside, and of it only what decides.
"""
