"""What the node says of itself: metrics (all of them, once), the access log, health."""
