"""A trial of a fleet: real nodes, cold clients, one blob, one fault; what it costs the origin and the clients, and what
is left.

    python -m bench.trial --nodes 3 --clients 64 --size 1GiB --rate 50MB/s --fault owner-killed

Everything is a process on loopback: the synthetic Hub, a real Redis, the nodes (each at an address of its own), and the
clients, which compare every byte with the content function. From the source only: the relay is the one of the tests.
"""
