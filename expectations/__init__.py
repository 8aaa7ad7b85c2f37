"""Data quality: Great Expectations as rule language, judge and report."""
