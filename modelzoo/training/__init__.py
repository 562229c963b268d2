"""Training of embedding networks: photos, splits, batches, augmentation, settings, and the loop that can be resumed."""
