"""What the data dictate: measure a dataset (fingerprint), decide what follows from it (plan)."""
