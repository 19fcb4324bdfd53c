"""Generated recordings for `denoisers.py`: what is fitted on, what is tested on, and what is known about it."""

from dataclasses import dataclass

import numpy as np
import spikeinterface.core as si
from probeinterface import generate_linear_probe, generate_multi_columns_probe

from si_deepsort.benchmarking.denoising import KnownSpikes, score_denoising
from si_deepsort.generation import INDEPENDENT_POISSON, GenerationSettings, generate_recording, named_probe
from si_deepsort.noise import noise_levels

SAMPLING_FREQUENCY = 30_000.0
COLUMNS = ("snr_db", "gain", "gain_small", "cosine", "dprime", "dprime_true", "noise_crossings_4", "noise_crossings_5")


@dataclass
class Case:
    """One recording: what is fitted on, what is tested on, and what is known about it."""

    name: str
    seed: int
    recording: si.BaseRecording
    first_test_frame: int
    clean: np.ndarray
    spikes: KnownSpikes
    noise: si.BaseRecording
    noise_level: np.ndarray

    @property
    def training(self):
        """The part that may be fitted on."""
        return self.recording.frame_slice(0, self.first_test_frame)


def make_probe(name: str):
    """32 contacts."""
    if name == "neuropixels1":
        return named_probe("neuropixels1").get_slice(np.arange(32))
    if name == "neuropixels2":
        return generate_multi_columns_probe(2, 16, xpitch=32.0, ypitch=15.0)
    return generate_linear_probe(32, ypitch=25.0)


def make_case(name: str, seed: int, duration_s: float, test_s: float) -> Case:
    """A recording of busy units of 25 to 250 uV, and noise alone with the same properties."""
    # The clean traces are put together from the templates, so that spikes must be alike.
    common = dict(sampling_frequency=SAMPLING_FREQUENCY, noise_uV=8.0, seed=10_000 + seed, **INDEPENDENT_POISSON)
    settings = GenerationSettings(
        duration_s=duration_s,
        num_units=20,
        num_far_units=30,
        amplitude_min_uV=25.0,
        amplitude_max_uV=250.0,
        firing_rate_min=12.0,
        firing_rate_max=30.0,
        **common,
    )
    lazy, sorting = generate_recording(make_probe(name), settings)
    traces = lazy.get_traces()
    background = lazy._kwargs["parent_recording"].get_traces()
    silence = GenerationSettings(
        duration_s=min(test_s, 0.5), num_units=0, num_far_units=0, **(common | dict(seed=20_000 + seed))
    )
    noise = generate_recording(make_probe(name), silence)[0].get_traces()
    first_test_frame = len(traces) - round(test_s * SAMPLING_FREQUENCY)
    templates, nbefore = np.asarray(lazy._kwargs["templates"]), lazy._kwargs["nbefore"]
    frames = [sorting.get_unit_spike_train(unit) - first_test_frame for unit in sorting.unit_ids]
    margin = templates.shape[1]
    frames = [f[(f > margin) & (f < len(traces) - first_test_frame - margin)] for f in frames]
    return Case(
        name=name,
        seed=seed,
        recording=_in_memory(traces, lazy),
        first_test_frame=first_test_frame,
        clean=(traces - background)[first_test_frame:],
        spikes=KnownSpikes(frames, templates, nbefore),
        noise=_in_memory(noise, lazy),
        noise_level=noise_levels(traces[: 5 * 30_000]),
    )


def score(case: Case, denoise) -> dict:
    """Scores of `denoise(recording, first frame)` on the test second and on noise."""
    scores = score_denoising(
        denoise(case.recording, case.first_test_frame),
        case.clean,
        case.spikes,
        denoise(case.noise, 0),
        sampling_frequency=SAMPLING_FREQUENCY,
        noise_level=case.noise_level,
    )
    return scores.to_dict()


def _in_memory(traces, like):
    copy = si.NumpyRecording([traces.astype("float32")], SAMPLING_FREQUENCY, channel_ids=like.channel_ids)
    copy.set_probe(like.get_probe())
    return copy
