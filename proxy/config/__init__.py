"""What the operator decides: every knob with its default and its reason, and where each value came from."""
