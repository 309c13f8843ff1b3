"""Two runs, or two sets of runs, beside each other: what changed, how sure that is, and whether a build should fail.

`sample` cuts runs into blocks of seconds and draws from them again and again; `comparison` says what changed; `overlay`
draws both; `terminal` and the template `compare.html` show it.
"""
