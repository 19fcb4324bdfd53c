"""Sort a recording, look at the units, write the report. Replace `make_recording` by your own data."""

import spikeinterface.full as si

import si_deepsort
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe


def make_recording():
    """Ten seconds of a tetrode; yours could be `si.read_openephys(...)` or `si.read_spikeglx(...)`."""
    settings = GenerationSettings(duration_s=10.0, num_units=4, amplitude_min_uV=80.0, seed=1)
    recording, _ = generate_recording(named_probe("tetrode"), settings)
    return recording.save(folder="recording", overwrite=True)


# Worker processes import this file again; the guard keeps them from sorting too.
if __name__ == "__main__":
    recording = make_recording()
    sorting = si.run_sorter("deepsort", recording, folder="out", remove_existing_folder=True)
    print(f"{len(sorting.unit_ids)} units, {sorting.count_total_num_spikes()} spikes")
    print(f"Report: {si_deepsort.write_report(sorting, recording, 'out/report', overwrite=True)}")
