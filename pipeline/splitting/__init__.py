"""Which clips train, validate and test, and which source belongs to which target."""
