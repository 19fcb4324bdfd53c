"""
Training of waveform classifiers.

- `train.py`: `train_classifier` on a labelled recording, `fit_classifier` on labelled waveforms;
- `examples.py`: from a labelled recording to waveforms and their classes;
- `augment.py`: waveforms are varied while the network learns;
- `templates.py`: the median waveform of each class.
"""
