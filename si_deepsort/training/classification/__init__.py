"""
Training of waveform classifiers.

- `settings.py`: the settings;
- `train.py`: `train_classifier` on a labelled recording, `fit_classifier` on labelled waveforms;
- `examples.py`: from a labelled recording to waveforms and their classes;
- `learn_templates.py`: templates and thresholds by which the sorter finds the units;
- `describe.py`: what is saved beside the weights, and the score on held-out time;
- `compare.py`: sorting with known units and without, on labelled time that was not learnt from;
- `class_noise.py`: the noise of the waveforms, of which more is added;
- `augment.py`: waveforms are varied while the network learns;
- `templates.py`: the median waveform of each class.
"""
