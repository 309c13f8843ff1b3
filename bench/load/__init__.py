"""The generator of load: what its processes do. `catalogue`, `workload` and `arrivals` are pure and decide; `wire`
talks HTTP on raw sockets, `verify` looks at every byte, `client` acts a session out, `generator` is the process.
"""
