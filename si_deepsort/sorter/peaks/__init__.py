"""
Peaks of spikes in white traces.

- `find`         by the method that a user chooses
- `energy`       energy of the traces in the subspace of spike waveforms
- `energy_node`  peaks of this energy, as a node of SpikeInterface's pipelines
"""
