"""The words: blob, span, byte range, errors, clock, sizes, tasks. Pure, but for tasks. Imports nothing of ours."""
