"""
Training of denoisers for `deep_interpolate`.

- `train.py`: `train_deep_interpolation` on recordings, without labels;
- `batches.py`: windows of recordings, with held-out time at the end;
- `start.py`: the closed-form start, before any gradient;
- `pretrain.py`: makes the bundled denoisers.
"""
