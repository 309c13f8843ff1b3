"""A storm: real nodes on disks that are too small, clients of every kind, operators, and what may go wrong, all at once
and by a seed; every answer is judged, and in the end everything that is left.

    python -m tests.storm --seed 7 --seconds 60 --shape fleet

`models` and `documents` are what the two origins have, `readers` ask, `judge` says what an answer may be, `operators`
do what operators do, `faults` what nobody wants, `weather` knows when it was what, `aftermath` looks at what is left.
"""
