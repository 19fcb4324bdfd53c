"""
Spike detection by a network that judges local extrema, beside SpikeInterface's threshold detectors.

- `find_peaks.py`: `find_peaks`, the peaks of a recording by any method;
- `probability.py`: `detection_probability`, the probability of a spike at each sample and channel;
- `prepare.py`: load a detection network and make it ready for a recording;
- `front_end.py`: the preprocessing that a detector was trained on, saved with it and applied again;
- `node.py`: the network as a node of SpikeInterface's pipelines;
- `threshold_detectors.py`: SpikeInterface's detectors as nodes;
- `spike_detector.py`: a network with all that it must know of one probe: traces in, spikes out;
- `candidates.py`: local extrema and the window around each that a network looks at;
- `exclusion.py`: one peak per spike;
- `bimodal.py`: which peaks stand out from the multi-unit background of their channel.
"""
