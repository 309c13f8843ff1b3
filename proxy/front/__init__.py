"""HTTP towards the clients: routes, conditional requests, ranges, delivery by sendfile, errors as statuses."""
