"""Penstock: an async caching reverse proxy that delivers machine-learning model files."""

__version__ = "0.1.0"
