"""
Spikes from field potentials: bands and features, predictors, and an evaluation that does not fool itself.

The usual path: `Session` (targets) -> `cross_validate` (crossval) -> `leave_one_band_out` (ablation) ->
`train_spike_predictor` (si_deepsort.training.lfp.train) -> `predict_spikes` (predict). `simulate` makes data with known
coupling, `report` draws the pictures.
"""
