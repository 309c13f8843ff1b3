"""The command `penstock`: one file per verb group."""
