"""Miniature potentials and currents of intracellular traces: read, find, fit, measure, and report them."""
