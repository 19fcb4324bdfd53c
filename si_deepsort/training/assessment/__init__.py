"""Training of the network that judges sortings: examples with known truth, faults, labels, and calibration."""
