"""Calibration of the statistics: are level, power, coverage and order what they should be."""
