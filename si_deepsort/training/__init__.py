"""
Train the networks on recordings, a sub-package for each task.

- `detection/`: spike detectors;
- `classification/`: waveform classifiers of known units;
- `embedding/`: autoencoders of waveforms;
- `interpolation/`: denoisers;
- `events/`: networks for miniature potentials;
- `lfp/`: networks that predict spiking from field potentials;
- `fine_tune.py`: train any pretrained model further;
- `trained_model.py`: what a training function returns, prints and saves;
- `random_recordings.py`: generated recordings for models that shall serve any recording.
"""
