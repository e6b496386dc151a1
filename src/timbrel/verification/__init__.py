"""Is it the same person? Trials, scores, thresholds, calibration, and a report of all of it.

A threshold means nothing without the encoder and the speech that it was read from, so every one that is
used here comes from trials that are named, or is said to come from nowhere.
"""
