"""Photos, videos and scans become clips of the model."""
