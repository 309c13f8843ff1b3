"""What an operator has a node do: the inventory, pins, removal, jobs.

`table` lists every operation with what it asks and tells; the admin port, its OpenAPI document and the command are made
from it. They are carried out by one worker (any: all see the same disks, catalogue and jobs).
"""
