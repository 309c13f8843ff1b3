"""Who may read what: rights per (HMAC(token), repo), short-lived, in memory only. Enter by `gatekeeper`."""
