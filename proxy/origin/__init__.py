"""The one outside world we fetch from: transport, redirects by our own rules, retry, resumption, budget, breaker.

Enter by `client`.
"""
