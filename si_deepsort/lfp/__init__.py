"""
Spikes from field potentials: bands and features, and prediction with a trained model.

This room holds what training and prediction share: bands, features, targets, metrics, prediction, and `simulate` with
known coupling. `si_deepsort.training.lfp` trains, cross-validates, leaves bands out and writes the report.
"""
