"""
Spike detection: peaks of the energy in white traces, by a threshold or judged by a network.

- `find_peaks.py`: `find_peaks`, the peaks of a recording by any method;
- `probability.py`: `detection_probability`, the probability of a spike at each sample and channel;
- `energy.py`, `energy_kernels.py`: energy of white traces in the subspace of spike waveforms, and its compiled part;
- `products.py`: products of white traces with spike waveforms and spatial profiles;
- `candidates.py`: peaks of this energy;
- `windows.py`: the window around each candidate that a network looks at;
- `spike_detector.py`: a network with all that it must know of one probe: white traces in, probabilities out;
- `prepare.py`: load a detection network and make it ready for white traces;
- `node.py`: detection by energy and by a network as nodes of SpikeInterface's pipelines;
- `on_device.py`, `energy_on_device.py`: candidates, their energy and their probabilities on a GPU;
- `front_end.py`: the preprocessing that a detector was trained on, saved with it and applied again;
- `threshold_detectors.py`: SpikeInterface's detectors as nodes;
- `typical_waveform.py`: the waveform that most large spikes of a recording have, and filters that compare with it;
- `larger_spikes.py`: what larger spikes make of the matches around them, and the matches without it;
- `peak_times.py`: the sample at which the waveform of a candidate is largest;
- `second_peaks.py`: which peaks are further peaks of larger spikes;
- `bimodal.py`: which peaks stand out from the multi-unit background of their channel.
"""
