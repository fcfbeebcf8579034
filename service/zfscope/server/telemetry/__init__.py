"""What the service reports of itself: the log, metrics, traces."""
