"""Processes: assembly (the only place that constructs everything), worker, supervisor."""
