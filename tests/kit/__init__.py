"""The shared vocabulary of whole-node tests.

world      what the synthetic Hub holds in a scenario        files      what a client must receive, byte by byte
node       a real `penstock serve` process                   procfs     what the kernel says of its processes
reader     a client that checks every byte as it comes       clients    the real huggingface_hub, in its own process
scrape     /metrics and the access log, as values            evidence   what a scenario leaves for the judge
oracles    the eight promises of RELIABILITY §5.1            stage      all of it together: the fixture `stage`
sabotage   the command `penstock` with one bug planted    runs       records of load runs that never ran
browser    a real Chromium, and what is on its page      linting    what httplint and REDbot say of an answer

A scenario arranges and acts on the stage; when it is over the stage takes the evidence and all nine oracles judge it.
"""
