"""Templates of the recording's own units, cleaned of the noise that averages leave, as models of injected ones."""

from dataclasses import dataclass

import numpy as np
import spikeinterface.core as si
from spikeinterface.preprocessing import highpass_filter

from ..generation import unit_locations
from ..generation.templates import MS_AFTER, MS_BEFORE
from ..geometry import channel_distances, recording_geometry
from ..noise import recording_noise_levels
from ..preprocessing.band_pass import band_pass
from ..spike_vectors import main_channels, some_of_each

# Band in which SNR is defined, in Hz: that of the package's benchmarks.
FREQ_MIN, FREQ_MAX = 150.0, 7000.0
# Spikes of a unit that are averaged; the noise of the mean is then 6 % of that of a spike.
MOST_AVERAGED = 300
# A unit with fewer spikes is no model: its average is mostly noise. It still counts as a unit of the recording.
LEAST_AVERAGED = 20
# A unit of a smaller SNR is no model: its average holds spikes of others.
LEAST_SNR = 3.0
# A channel belongs to a template if its peak is this many standard errors of the average. 100 samples of pure noise
# reach 4 in one of 150 channels; the traces that are averaged have a little more noise than those that are measured.
LEAST_ERRORS = 5.0
# Units are recorded up to about this distance from the main channel, in um; what is farther away is noise.
REACH_UM = 200.0
# Singular vectors that describe a template: spikes of one neuron are close to a sum of three products of a waveform
# and a pattern over channels.
RANK = 3
# Samples over which both ends are tapered to 0.
TAPER_SAMPLES = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class SourceTemplates:
    """
    Templates from which injected units are made.

    Attributes
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        Their unit does not matter: they are scaled to an SNR.
    nbefore : int
        Sample of the peak.
    positions_um : np.ndarray, shape (num_channels, 2), float64
        Positions of the channels on which the templates are given.
    snr : np.ndarray | None, shape (num_units,), float64
        SNR in the recording from which the templates are; None if they are from elsewhere.
    rates : np.ndarray | None, shape (num_units,), float64
        Firing rates in that recording, in Hz; None if they are from elsewhere.
    names : list of str
        What the templates are of.
    origin : "own units" | "given templates" | "generated"
    """

    templates: np.ndarray
    nbefore: int
    positions_um: np.ndarray
    snr: np.ndarray | None
    rates: np.ndarray | None
    names: list[str]
    origin: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Surroundings:
    """
    What injected units meet in the recording.

    Attributes
    ----------
    filtered : BaseRecording
        The recording in the band in which SNR is defined.
    for_templates : BaseRecording
        The recording without slow fluctuations, but with all high frequencies: the sorter filters what is injected
        once more, which would make injected spikes duller than real ones.
    is_filtered_here : bool
        Whether the band-pass is ours; a recording that was filtered before is taken as it is.
    noise_levels : np.ndarray, shape (num_channels,), float64
        In the unit of the filtered traces; 0 for dead channels.
    positions_um : np.ndarray, shape (num_channels, 2), float64
    shanks : np.ndarray, shape (num_channels,), int
    """

    filtered: si.BaseRecording
    for_templates: si.BaseRecording
    is_filtered_here: bool
    noise_levels: np.ndarray
    positions_um: np.ndarray
    shanks: np.ndarray


def look_at(recording: si.BaseRecording, *, seed: int) -> Surroundings:
    """
    Geometry and noise of a recording.

    Parameters
    ----------
    recording : BaseRecording
    seed : int
        Seed of the chunks in which the noise is measured.

    Returns
    -------
    Surroundings

    Raises
    ------
    ValueError
        If there is no probe, or no channel has a signal.
    """
    positions, shanks = recording_geometry(recording)
    is_filtered = bool(recording.is_filtered())
    filtered = recording if is_filtered else band_pass(recording, freq_min=FREQ_MIN, freq_max=FREQ_MAX)
    levels = recording_noise_levels(filtered, seed=seed).astype(float)
    levels[~np.isfinite(levels)] = 0.0
    if not (levels > 0).any():
        raise ValueError(
            "No channel of the recording has a signal: all noise levels are 0. Was the right stream or file opened?"
        )
    return Surroundings(
        filtered=filtered,
        for_templates=recording if is_filtered else highpass_filter(recording, freq_min=FREQ_MIN, dtype="float32"),
        is_filtered_here=not is_filtered,
        noise_levels=levels,
        positions_um=positions,
        shanks=shanks,
    )


def own_templates(
    sorting: si.BaseSorting, surroundings: Surroundings, *, seed: int
) -> tuple[SourceTemplates, np.ndarray]:
    """
    Average the spikes of the recording's own units.

    Parameters
    ----------
    sorting : BaseSorting
        Units without spikes are skipped.
    surroundings : Surroundings
    seed : int
        Seed of the choice of spikes.

    Returns
    -------
    sources : SourceTemplates
        Units with enough spikes that stand out from the noise; possibly none.
    locations_um : np.ndarray, shape (num_units, 2), float64
        Where all units of the sorting are.
    """
    recording = surroundings.for_templates
    sampling_frequency = recording.get_sampling_frequency()
    nbefore, nafter = (round(ms * sampling_frequency / 1000) for ms in (MS_BEFORE, MS_AFTER))
    spikes = sorting.to_spike_vector()
    lengths = np.array([recording.get_num_frames(i) for i in range(recording.get_num_segments())])
    frames = spikes["sample_index"]
    is_inside = (frames >= nbefore) & (frames + nafter < lengths[spikes["segment_index"]])
    spikes = spikes[is_inside]
    spikes = spikes[some_of_each(spikes["unit_index"], MOST_AVERAGED, seed)]
    num_units, shape = len(sorting.unit_ids), (nbefore + nafter, recording.get_num_channels())
    counts = np.bincount(spikes["unit_index"], minlength=num_units)
    templates = np.zeros((num_units, *shape), dtype="float32")
    if len(spikes):
        templates = si.estimate_templates(
            recording, spikes, sorting.unit_ids, nbefore, nafter, return_in_uV=False, progress_bar=False
        )
    templates = np.nan_to_num(templates).astype("float32")
    locations = unit_locations(templates, surroundings.positions_um)
    cleaned = (
        np.stack([cleaned_template(one, count, surroundings) for one, count in zip(templates, counts, strict=True)])
        if num_units
        else templates
    )
    snr = signal_to_noise(cleaned, surroundings.noise_levels)
    chosen = np.flatnonzero((counts >= LEAST_AVERAGED) & (snr >= LEAST_SNR))
    sources = SourceTemplates(
        templates=cleaned[chosen],
        nbefore=nbefore,
        positions_um=surroundings.positions_um,
        snr=snr[chosen],
        rates=sorting.count_num_spikes_per_unit(outputs="array")[chosen] * sampling_frequency / lengths.sum(),
        names=[str(sorting.unit_ids[unit]) for unit in chosen],
        origin="own units",
    )
    return sources, locations


def cleaned_template(template: np.ndarray, num_averaged: int, surroundings: Surroundings) -> np.ndarray:
    """
    A template without the noise of the average, which scaling up would turn into a detail that real units lack.

    Parameters
    ----------
    template : np.ndarray, shape (num_samples, num_channels), float32
    num_averaged : int
        Spikes in the average.
    surroundings : Surroundings

    Returns
    -------
    np.ndarray, shape (num_samples, num_channels), float32
    """
    if num_averaged == 0 or not template.any():
        return np.zeros_like(template)
    main = main_channels(template[None])[0]
    distances = channel_distances(surroundings.positions_um)[main]
    errors = surroundings.noise_levels / np.sqrt(num_averaged)
    kept = (distances <= REACH_UM) & (surroundings.shanks == surroundings.shanks[main])
    kept &= (np.abs(template).max(axis=0) >= LEAST_ERRORS * errors) & (errors > 0)
    shapes, sizes, patterns = np.linalg.svd(template[:, kept], full_matrices=False)
    cleaned = np.zeros_like(template)
    cleaned[:, kept] = (shapes[:, :RANK] * sizes[:RANK]) @ patterns[:RANK]
    return cleaned * edge_taper(len(template))[:, None]


def edge_taper(num_samples: int) -> np.ndarray:
    """Weights that fall to 0 at both ends, shape (num_samples,), float32."""
    width = min(TAPER_SAMPLES, num_samples // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(width) / max(width, 1))
    return np.concatenate([ramp, np.ones(num_samples - 2 * width), ramp[::-1]]).astype("float32")


def signal_to_noise(templates: np.ndarray, noise_levels: np.ndarray) -> np.ndarray:
    """
    Peak of each template over the noise level of its channel, at the channel where this is largest.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
        In the band in which the noise was measured.
    noise_levels : np.ndarray, shape (num_channels,), float
        0 for dead channels, which do not count.

    Returns
    -------
    np.ndarray, shape (num_units,), float64
    """
    levels = np.where(noise_levels > 0, noise_levels, np.inf)
    return (np.abs(templates).max(axis=1, initial=0.0) / levels).max(axis=1, initial=0.0).astype(float)
