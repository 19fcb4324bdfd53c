"""Train and cross-validate predictors of spikes from field potentials."""
