"""
Units: average waveforms and templates, which units are merged, and which are dropped.

- `refine`          the refinements of the flow, each made of the steps below
- `background`      what noise and other units add to a waveform
- `templates`       templates without noise, and the distances between them
- `isolated`        spikes in whose window hardly any other spike falls
- `averages`        average waveforms of isolated spikes
- `other_spikes`    what other spikes add to the window of a spike
- `spike_features`  features of single isolated spikes, without other spikes
- `discriminate`    how far two groups of spikes lie apart
- `merge`           units that are one
- `directions`      waveforms in which templates and spikes are described
- `reach`           how long the waveforms are
- `coincidences`    how often two units coincide, and would by chance
- `collisions`      units made of coinciding spikes of others
- `satellites`      units made of residuals of larger ones
- `bursts`          units that hold the smaller spikes of larger ones
- `changes`         units that are parts of a neuron whose spikes change slowly
- `known`           units that are known from a labelled recording
"""
