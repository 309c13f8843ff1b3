"""What is where: refs with a TTL, resolutions (repo, commit, path) -> blob, listings.

Enter by `catalogue`.
"""
