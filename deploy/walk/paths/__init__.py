"""The walks, by what breaks."""
