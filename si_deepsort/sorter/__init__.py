"""
The sorter "deepsort": `pipeline.sort_recording` is the flow; each step below is a file or a folder of its own.

What a user meets

- `settings`     the settings of a run, checked before anything is written
- `adapter`      the sorter as SpikeInterface sees it
- `device`       the GPU of a run, if one is wanted; what it computes is in files named `..._on_device`
- `resume`       go on with an interrupted run

The flow, in its order

- `pipeline`     the steps in their order, nothing else
- `run_folder`   results of finished steps
- `progress`     the line that says which step runs, how much is done, and how long it will take
- `run_log`      the log of the run, in a file and on request in the console
- `reproducible` the same spikes for any number of threads, workers and chunks
- `prepare`      white traces and their peaks (`si_deepsort.detection`), motion-corrected if drift is found
- `front_end/`   checks of the recording, filter, reference and whitening, motion, cache of the traces
- `clusters/`    peaks are selected, described by few numbers, embedded, clustered and aligned; units are split
- `rounds`       match, look for missed units among residual peaks, match again
- `units/`       refinement: average isolated spikes, merge units, drop collisions and satellites
- `matching/`    template matching: correlate, subtract the best spikes, fit each again; residual peaks
- `waveforms`    waveforms around peaks and spikes; `average_waveforms`, clipped where `spike_limits` says so
- `output`       units that are kept, as a sorting
- `judge`        what to expect of each unit; fragments are left out

Words

- peak: a spike of any unit that a detector found; spike: one that belongs to a unit
- template: average waveform of a unit in white traces, 0 on channels where the unit is not visible
- isolated spike: a spike in whose window hardly any other spike falls
- residual: what remains of the traces after subtracting matched spikes; residual peak: a peak that no spike explains
- collision: two spikes at nearly the same time; a unit may consist of nothing but collisions
- satellite: a unit made of residuals of a larger unit, at a fixed lag from its spikes

Files import only from files further down in this order: judge, output, rounds, clusters, units, front_end,
spike_limits, average_waveforms, matching, waveforms. Steps are arrays in, arrays out, in units of noise standard
deviations and samples.
"""
