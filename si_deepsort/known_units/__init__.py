"""
Spikes of units that are known beforehand, from a labelled recording.

By a trained classifier:

- `assign.py`: peaks to known units, arrays in, arrays out;
- `sort_known_units.py`: the units of a sorting to known units;
- `labelled_units.py`: templates that a classifier holds, by which the sorter finds known units;
- `compatible.py`: whether a recording fits a classifier, and names of units;
- `load.py`: load a classifier;

- `separate_neuron.py`: the neuron and the background of a single channel.

By templates, in noise that overlaps them:

- `unit_library.py`: learn the units of a labelled recording, and find them in noisier ones;
- `known_templates.py`: fit templates to labelled traces;
- `template_subtraction.py`: find the spikes of known templates, overlapping ones included.
"""
