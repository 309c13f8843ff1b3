"""What measures and exercises Penstock from outside: the synthetic Hub, and the load harness that uses it."""
