"""
Cluster peaks, and split units into parts.

- `find`      all steps from peaks to clusters
- `select`    a limited number of peaks of each channel
- `describe`  waveforms as coefficients in the directions that spikes share
- `embed`     features for clustering: these coefficients, or codes of a network
- `cluster`   clusters on each channel
- `isosplit`  the clustering method that is the default
- `split`     units whose isolated spikes form several clusters
"""
