"""The bytes on the disks: placement, chunk maps, the ledger, locks that die with their holder, recovery.

Enter by `blobstore`. `rack` is the disks as a set, `upkeep` what happens to them of its own accord, `small` the blobs
of one file. `blobfile` is an open blob: its `parts` on the disks, who is `filling` it (`claim` the right to fill a
span), the `doubt` about chunks, its `sealing`. `shelf` is one disk with what is published there, `recovery` how a
worker takes a disk and cleans up after the dead, `part` a blob's files on one disk, `index` the disk's books, `disk`
its threads and its state. `layout`, `placement`, `ledger`, `eviction` and the reading side of `chunkmap` decide and
do nothing. `fsck` is the oracle.
"""
