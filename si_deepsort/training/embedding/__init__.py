"""
Training of autoencoders of waveforms.

- `train.py`: `train_autoencoder` on a recording, `fit_autoencoder` on waveforms;
- `pretrain.py`: makes the bundled autoencoder.
"""
