"""Penstock: an async caching reverse proxy that delivers machine-learning model files."""
