"""Side by side: Penstock and what people use in its place, each on one core, against the same origin, in turns.

`servers` starts each with the configuration in `configs/`, tuned as its own documentation advises; `rows` are the
measurements, `asking` the client they share, `results` the medians and the table. Run it with `make bench-peers`.
"""
