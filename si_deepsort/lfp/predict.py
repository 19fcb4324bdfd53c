"""Spiking predicted from a field potential by a trained model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from spikeinterface.core import BaseRecording, NumpyRecording, NumpySorting

from ..nets.spike_predictor import SpikePredictor
from ..settings import settings_from_dict
from ..zoo import load_network
from .features import FeatureSettings, extract_features
from .scale import check_scale, in_trained_order
from .windows import predict_output, to_rate


@dataclass(frozen=True)
class SpikePrediction:
    """
    Expected spiking in bins.

    Attributes
    ----------
    times : np.ndarray, shape (num_bins,)
        Centre of each bin on the recording's clock, s.
    expected : np.ndarray, shape (num_bins, num_units)
        Expected spikes per bin (Poisson) or probability of a spike in the bin (Bernoulli).
    unit_ids : list
    bin_s : float
        Width of a bin, s.
    """

    times: np.ndarray
    expected: np.ndarray
    unit_ids: list
    bin_s: float

    @property
    def rate_hz(self) -> np.ndarray:
        """Expected spikes per second, shape (num_bins, num_units)."""
        return self.expected / self.bin_s

    def to_sorting(self, sampling_frequency: float = 30_000.0, *, seed: int = 0) -> NumpySorting:
        """
        Spikes drawn from the prediction, as an SI sorting: as many as expected, where they are expected.

        Parameters
        ----------
        sampling_frequency : float, default: 30_000.0
        seed : int, default: 0

        Returns
        -------
        NumpySorting
            Frame 0 is the beginning of the first bin, at the start time of the recording: spike times are on the
            recording's clock. SpikeInterface does not save the start time of a sorting; the annotation
            `start_time_s` keeps it.

        Raises
        ------
        ValueError
            If the sampling frequency is not a positive number.
        """
        if not 0 < sampling_frequency < np.inf:
            raise ValueError(f"sampling_frequency={sampling_frequency!r}, expected a positive number in Hz.")
        random = np.random.default_rng(seed)
        trains = {}
        for column, unit_id in enumerate(self.unit_ids):
            bins = np.repeat(np.arange(len(self.expected)), random.poisson(self.expected[:, column]))
            times = (bins + random.random(len(bins))) * self.bin_s
            trains[unit_id] = np.sort(np.floor(times * sampling_frequency).astype(np.int64))
        sorting = NumpySorting.from_unit_dict([trains], sampling_frequency)
        start_s = float(self.times[0]) - self.bin_s / 2
        sorting.shift_times(start_s)
        sorting.annotate(start_time_s=start_s)
        return sorting

    def to_recording(self) -> NumpyRecording:
        """The rates, spikes per second, as an SI recording with one channel per unit and one frame per bin."""
        recording = NumpyRecording([self.rate_hz.astype(np.float32)], 1 / self.bin_s, channel_ids=self.unit_ids)
        recording.shift_times(self.times[0] - self.bin_s / 2)
        return recording


def predict_spikes(
    recording: BaseRecording, model: SpikePredictor | str | Path, *, device: str = "cpu"
) -> SpikePrediction:
    """
    Predict the spiking of the units that a model was trained on.

    Parameters
    ----------
    recording : BaseRecording
        Field potential, one segment, with the channels of the training in any order. Traces are scaled to uV by its
        gains, as in training.
    model : str | Path | SpikePredictor
        A model folder, or what `train_spike_predictor` returned.
    device : str, default: "cpu"

    Returns
    -------
    SpikePrediction
        `.times`, `.expected`, `.rate_hz`, `.to_sorting()`, `.to_recording()`.

    Raises
    ------
    ValueError
        If the model is of another kind, or the recording's channels, unit or rate are not those of the training.

    Examples
    --------
    >>> net = train_spike_predictor(lfp_recording, sorting, unit_id="7", folder="unit7")
    >>> prediction = predict_spikes(other_lfp_recording, "unit7")
    >>> prediction.times, prediction.rate_hz
    """
    remedy = "Make one with si_deepsort.train_spike_predictor."
    net = load_network(model, SpikePredictor, purpose="spike prediction", remedy=remedy)
    if net.info is None or "features" not in net.info.settings:
        raise ValueError(f"The network does not say which features of the recording it needs. {remedy}")
    if recording.get_num_segments() != 1:
        raise ValueError(f"The recording has {recording.get_num_segments()} segments; select one of them.")
    stored = net.info.settings
    settings = settings_from_dict(FeatureSettings, stored["features"])
    recording = in_trained_order(recording, stored["channel_ids"])
    if "channel_sizes" in stored and not settings.standardise:
        check_scale(recording, stored["unit"], stored["channel_sizes"])
    features = extract_features(recording, settings)
    if features.values.shape[1] != net.config.num_features:
        raise ValueError(
            f"The recording gives {features.values.shape[1]} features, the model needs {net.config.num_features}: "
            "bands or kinds differ."
        )
    output = predict_output(net.to(device), features.values)
    expected = to_rate(output, net.config.likelihood)
    return SpikePrediction(features.times, expected, list(stored["unit_ids"]), features.bin_s)
