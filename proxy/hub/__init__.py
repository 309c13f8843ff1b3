"""The Hugging Face dialect, all pure: paths, revisions, headers, listings, problems.

Nothing here touches a socket or a file.
"""
