"""
Denoisers on the noise of real Neuropixels recordings, for `denoisers.py`: evaluation only, far too short to fit on.

There is no truth in them, so spikes are added: what a denoiser makes of the traces with and without these spikes
differs by what it keeps of them, and the robust noise level without them tells how quiet it is.
"""

import os
from pathlib import Path

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from probeinterface import Probe

from si_deepsort.geometry import recording_geometry
from si_deepsort.noise import noise_levels
from si_deepsort.preprocessing import deep_interpolate, wavelet_denoise
from si_deepsort.preprocessing.injection import AMPLITUDE_NOISE_LEVELS, small_spikes

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data")) / "neuropixels_snippets"
AMPLITUDES = (4.0, 8.0, 16.0)
BLENDS = (0.0, 0.3, "auto")


def snippets() -> dict:
    """Name -> recording, high-passed at 300 Hz and without the common median."""
    columns = np.where(np.arange(384) % 2 == 0, 16.0, 48.0) - 16.0 * (np.arange(384) // 2 % 2)
    sites = np.stack([columns, 20.0 * (np.arange(384) // 2)], axis=1)
    phase3 = np.fromfile(FOLDER / "neuropixel.bin", dtype="int16").reshape(-1, 10)
    open_ephys = np.fromfile(FOLDER / "continuous.dat", dtype="int16").reshape(-1, 385)[:, :384]
    return {
        "phase 3, 10 channels, 0.33 s": _recording(phase3, np.load(FOLDER / "neuropixel_channels.npy")),
        "1.0, 384 channels, 0.03 s": _recording(open_ephys, sites),
    }


def on_real_noise() -> list[dict]:
    """One row per recording and denoiser; empty, with a message, where the data are not at hand."""
    if not (FOLDER / "neuropixel.bin").is_file():
        print(f"No recordings in {FOLDER}: the check on real noise is left out.")
        return []
    rows = []
    for name, recording in snippets().items():
        traces = recording.get_traces()
        levels = np.maximum(noise_levels(traces), 1e-12)
        spikes = levels * small_spikes(len(traces), *recording_geometry(recording), 30_000.0)
        spikes *= 1 / AMPLITUDE_NOISE_LEVELS
        for method, denoise in _denoisers(recording).items():
            alone = denoise(traces)
            after = np.median(noise_levels(alone) / levels)
            row = dict(recording=name, method=method, noise=float(after))
            for amplitude in AMPLITUDES:
                kept = denoise(traces + amplitude * spikes) - alone
                gain = float((kept * spikes).sum() / (amplitude * np.square(spikes).sum()))
                row[f"gain_{amplitude:g}"] = gain
                row[f"snr_change_db_{amplitude:g}"] = float(20 * np.log10(gain / after))
            rows.append(row)
            print(row, flush=True)
    return rows


def table(rows: list[dict]) -> dict:
    """What goes into the README."""
    columns = ["real recording", "denoiser", "noise left"]
    columns += [f"{what} at {amplitude:g}" for amplitude in AMPLITUDES for what in ("amplitude", "SNR dB")]
    cells = [
        [row["recording"], row["method"], f"{row['noise']:.3f}"]
        + [
            text
            for amplitude in AMPLITUDES
            for text in (f"{row[f'gain_{amplitude:g}']:.3f}", f"{row[f'snr_change_db_{amplitude:g}']:+.2f}")
        ]
        for row in rows
    ]
    caption = "Spikes of 4, 8 and 16 noise levels added to real recordings; change in single-sample SNR against raw."
    return {"columns": columns, "rows": cells, "caption": caption}


def _denoisers(recording) -> dict:
    def with_traces(traces):
        return _in_memory(traces, recording)

    denoisers = {"raw": lambda traces: traces}
    for blend in BLENDS:
        fixed = deep_interpolate(recording, blend=blend)._kwargs["normalization"]
        denoisers[f"interpolator-any, blend {blend}"] = lambda traces, blend=blend, fixed=fixed: deep_interpolate(
            with_traces(traces), blend=blend, normalization=fixed
        ).get_traces()
    levels = wavelet_denoise(recording)._kwargs["coefficient_levels"]
    denoisers["wavelets"] = lambda traces: wavelet_denoise(with_traces(traces), coefficient_levels=levels).get_traces()
    return denoisers


def _recording(traces, locations):
    recording = si.NumpyRecording([traces.astype("float32")], 30_000.0)
    probe = Probe(ndim=2)
    probe.set_contacts(locations)
    probe.set_device_channel_indices(np.arange(len(locations)))
    recording.set_probe(probe)
    filtered = spre.common_reference(spre.highpass_filter(recording, freq_min=300.0))
    return _in_memory(filtered.get_traces(), recording)


def _in_memory(traces, like):
    copy = si.NumpyRecording([np.asarray(traces, dtype="float32")], 30_000.0)
    copy.set_probe(like.get_probe())
    return copy
