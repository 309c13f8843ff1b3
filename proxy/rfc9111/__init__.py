"""HTTP caching by the book (RFC 9110, 9111, 9211, 9213, 5861): what may be stored, reused, merged, invalidated. Pure.

`fields` and `directives` read what a message says, `stored` is a response that is kept, `freshness` how old it is and
may become, `storing` whether to keep it, `reuse` what to do with a request, `validation` what a 304 or an unsafe method
does to what is kept, `relaying` which fields go on. No socket, no file and no clock: times are arguments, in seconds.
"""
