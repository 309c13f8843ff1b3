"""Generic origins: a shared cache of HTTP responses (RFC 9111) over the store that also holds the Hub's files.

`cache` is the door; `leader` asks the origin once for all who wait, `spool` is a body that comes and is not yet stored,
`kept` one that is, `windows` what to ask for when a client asks for a part of something unknown.
"""
