"""Reports out of a run's data sets."""
