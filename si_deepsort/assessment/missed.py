"""What a sorting has probably missed: events that no unit explains, and how many neurons they belong to."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..nets.assessor import LABELS
from .evidence import Evidence
from .spike_statistics import SPIKE_THRESHOLD

# Edges of the sizes of events that are counted, in standard deviations of white noise.
SIZE_EDGES = (4.5, 5.5, 7.0, 9.0, 13.0, np.inf)
# Edges of the squared norms of the templates of small, middle and large units.
NORM_EDGES = (0.0, 100.0, 300.0, np.inf)
# Edges of the signal-to-noise ratios of the neurons, as in the tables of the benchmarks.
SNR_EDGES = (0.0, 5.0, 8.0, np.inf)
SNR_NAMES = ("below 5", "5 to 8", "above 8")
# Depth in um over which unexplained events are counted together.
DEPTH_BIN_UM = 50.0


@dataclass(frozen=True)
class MissedModel:
    """
    Linear prediction of the square root of the number of missed neurons, one for each range of SNR.

    Attributes
    ----------
    weights : np.ndarray, shape (num_ranges, num_features), float
    offsets : np.ndarray, shape (num_ranges,), float
    low, high : np.ndarray, shape (num_ranges,), float
        What is added to the prediction at both ends of the interval.
    found_share : np.ndarray, shape (num_ranges,), float
        Share of the neurons that sorters found in the training recordings.
    """

    weights: np.ndarray
    offsets: np.ndarray
    low: np.ndarray
    high: np.ndarray
    found_share: np.ndarray

    @classmethod
    def from_settings(cls, settings: dict) -> "MissedModel":
        """The model as a model folder holds it."""
        return cls(**{name: np.asarray(values, dtype=float) for name, values in settings.items()})

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Number of missed neurons in each range, and both ends of its interval; features (num_features,)."""
        root = self.weights @ features + self.offsets
        return tuple(np.maximum(part, 0) ** 2 for part in (root, root + self.low, root + self.high))


def unexplained(evidence: Evidence) -> np.ndarray:
    """Which residual events no unit explains, (num_events,) bool."""
    return (evidence.events.sources < 0) | (evidence.events.scores < SPIKE_THRESHOLD)


def size_counts(evidence: Evidence) -> np.ndarray:
    """Unexplained events between the edges of `SIZE_EDGES`, (num_sizes,), int."""
    return np.histogram(evidence.events.sizes[unexplained(evidence)], SIZE_EDGES)[0]


def recording_features(
    event_counts: np.ndarray,
    num_explained: float,
    label_probabilities: np.ndarray,
    norms: np.ndarray,
    *,
    duration_s: float,
    num_channels: int,
) -> np.ndarray:
    """
    Features of a sorting as a whole.

    Parameters
    ----------
    event_counts : np.ndarray, shape (num_sizes,), int
        Unexplained events between the edges of `SIZE_EDGES`.
    num_explained : float
        Residual events that are further spikes of units.
    label_probabilities : np.ndarray, shape (num_units, 4), float
        Probabilities of the labels of the units.
    norms : np.ndarray, shape (num_units,), float
        Squared norms of the templates in white traces.
    duration_s : float
        Duration in which the events were found.
    num_channels : int

    Returns
    -------
    np.ndarray, shape (num_features,), float
    """
    rates = np.append(event_counts, num_explained) / max(duration_s, 1e-9)
    expected_labels = label_probabilities.sum(axis=0) if len(label_probabilities) else np.zeros(len(LABELS))
    sizes = np.histogram(norms, NORM_EDGES)[0]
    return np.sqrt(np.concatenate([rates, expected_labels, sizes, [num_channels]]).astype(float))


def missed_by_depth(evidence: Evidence, depths_um: np.ndarray) -> pd.DataFrame:
    """
    Unexplained events at each depth.

    Parameters
    ----------
    evidence : Evidence
    depths_um : np.ndarray, shape (num_channels,), float

    Returns
    -------
    pd.DataFrame
        One row for each 50 um in which there are channels: depth_um (center), events_per_s, typical_size (median, in
        standard deviations of white noise).
    """
    is_free = unexplained(evidence)
    bins = np.floor(depths_um / DEPTH_BIN_UM).astype(int)
    own, sizes = bins[evidence.events.channels[is_free]], evidence.events.sizes[is_free]
    rows = []
    for number in np.unique(bins):
        members = own == number
        typical = float(np.median(sizes[members])) if members.any() else np.nan
        rows.append(((number + 0.5) * DEPTH_BIN_UM, members.sum() / max(evidence.duration_s, 1e-9), typical))
    return pd.DataFrame(rows, columns=["depth_um", "events_per_s", "typical_size"])


def missed_neurons(model: MissedModel, features: np.ndarray) -> pd.DataFrame:
    """Estimated number of missed neurons in each range of SNR, with its 90 % interval and the share found elsewhere."""
    number, low, high = model.predict(features)
    return pd.DataFrame(
        {
            "snr": list(SNR_NAMES),
            "missed": number.round(1),
            "lower": np.floor(low).astype(int),
            "upper": np.ceil(high).astype(int),
            "found_share": model.found_share.round(2),
        }
    )
