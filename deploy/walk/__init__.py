"""A walk through the runbook, as the person on call would do it: `python -m deploy.walk`.

For each alert of `deploy/prometheus/alerts.yml` its cause is made on real nodes (a synthetic Hub before them, a real
Redis between them), a real Prometheus has to fire it, what docs/operations.md says under *Do* is done, and the alert
has to end.

`rules` makes the alerts quick (pure), `monitor` runs Prometheus, `ground` is where a walk happens, `paths` are the
walks themselves, `page` is the table in docs/operations.md.
"""
