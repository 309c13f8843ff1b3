"""`python -m bench.scale`, or `penstock bench scale`."""

from bench.scale.verb import scale

if __name__ == "__main__":
    scale(prog_name="python -m bench.scale")
