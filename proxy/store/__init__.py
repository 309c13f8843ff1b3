"""The bytes on the disks: placement, chunk maps, the ledger, locks that die with their holder, recovery.

Enter by `blobstore`.
"""
