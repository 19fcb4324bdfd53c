"""
Template matching in white traces.

- `match`           all spikes of all units in a recording
- `correlate`       correlation of templates with traces
- `on_device`       the same on a GPU
- `overlaps`        what a spike of one unit adds to the correlation with another
- `pursuit`         spikes in a chunk of traces
- `prior_odds`      how much evidence a spike of each unit needs
- `kernels`         its compiled part
- `joint_fits`      spikes that overlap explained together, compiled
- `pair_fits`       the pair of spikes that explains what is near a spike best, compiled
- `residual_peaks`  peaks that no matched spike explains
"""
