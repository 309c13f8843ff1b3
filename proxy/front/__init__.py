"""HTTP towards clients: a gate before every connection, one route table, answers as values, bytes by sendfile.

A request passes gate (connections, head deadlines) -> aiohttp (framing) -> application (one boundary: strictness,
caller, route, problems, account) -> hub_routes (what to answer) -> delivery (how the bytes leave).
"""
