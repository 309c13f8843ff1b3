"""One download, many readers: the plan, the flight, the rings around it.

Knows its neighbours by `ports` alone. Enter by `coordinator`.
"""
