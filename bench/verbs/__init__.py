"""What `python -m bench` (and `penstock bench`) can do, one file for each verb."""
