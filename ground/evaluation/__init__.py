"""Measures what the flight software does on labelled imagery, beside plain baselines computed in the same run."""
