"""
Training of spike detectors.

- `train.py`: `train_detector` on a labelled recording;
- `labels.py`: labels are cleaned and moved onto the peaks;
- `examples.py`: from a labelled recording to candidates and their labels;
- `threshold.py`: the decision threshold, and how good the network is on held-out candidates;
- `tune.py`: `tune_detector` chooses threshold, exclusive time and front end for a recording without labels;
- `score.py`, `standard_front_ends.py`, `plot_tuning.py`: the choices, their scores and a plot of them;
- `pretrain.py`: makes the bundled detectors.
"""
