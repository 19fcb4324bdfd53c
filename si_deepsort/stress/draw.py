"""One repetition of a stress test: units drawn, placed, scaled to their SNR, and given spikes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import spikeinterface.core as si
from scipy.signal import iirfilter
from spikeinterface.core import Motion

from ..generation import GenerationSettings, random_templates, unit_locations
from ..preprocessing.band_pass import MOST_FREQ_MAX, ORDER, filter_forward_and_backward
from ..preprocessing.hybrid import InjectedSpikes
from ..spike_vectors import main_channels
from .own_units import FREQ_MAX, FREQ_MIN, REACH_UM, edge_taper, signal_to_noise
from .placement import MIRRORS, Crowd, Place, placed, possible_places
from .request import Models, Request
from .sizes import Sizes
from .spikes import DrawnSpikes, draw_unit_spikes
from .taken_out import without_units

# The models of an injected unit are this many templates whose own SNR is nearest to its SNR, but not below it and not
# below the second number. Smaller neurons are found mainly if many contacts see them, so that templates of those found
# are easier than those of all (three development recordings of small units, SNR 3 to 4: energy 6.5 times the peak, 5.6
# for those not found).
NUM_NEAREST, FOUND_SNR = 8, 5.0
# Places that are tried for each model, to find one where the unit is as similar to others as real units are.
MOST_PLACES = 6
# Templates of moving units are known at displacements this far apart, in um.
MOTION_STEP_UM = 2.0
# Silence around a template while it is filtered, in ms: three periods of the lower edge.
SILENCE_MS = 20.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Repetition:
    """
    What is injected at a time.

    Attributes
    ----------
    spikes : InjectedSpikes
        For the hybrid recording.
    sorting : NumpySorting
        The same spikes by unit.
    units : pandas.DataFrame
        A row for each unit: unit_id, snr, x_um, depth_um, source, replaces, num_spikes, firing_rate.
    """

    spikes: InjectedSpikes
    sorting: si.NumpySorting
    units: pd.DataFrame


def draw_repetition(request: Request, models: Models, sizes: Sizes, *, number: int) -> Repetition:
    """
    Draw the units of one repetition.

    Parameters
    ----------
    request : Request
    models : Models
    sizes : Sizes
        SNR of each unit of the repetition, and which own unit it replaces.
    number : int
        Number of the repetition; it is part of the seed.

    Returns
    -------
    Repetition
    """
    recording, surroundings = request.recording, models.surroundings
    rng = np.random.default_rng([request.settings.seed, 31, number])
    displacements = displacement_steps(request.motion)
    snr = sizes.snr
    templates, chosen, nbefore = _placed_templates(models, sizes, rng, displacements)
    templates = _scaled(templates, np.argmin(np.abs(displacements)), snr, models)
    locations = unit_locations(templates[:, np.argmin(np.abs(displacements))], surroundings.positions_um)
    names, replaced, rates = _names_and_rates(models, sizes, chosen)
    own = models.own.without(set(replaced))
    drawn = draw_unit_spikes(
        locations,
        request.settings,
        rng,
        segment_frames=np.array([recording.get_num_frames(i) for i in range(recording.get_num_segments())]),
        sampling_frequency=recording.get_sampling_frequency(),
        rates=rates if request.settings.rates_as_own else None,
        other_trains_s=own.trains_s,
        other_locations_um=own.locations_um,
    )
    num_units, num_steps = templates.shape[:2]
    steps = _steps_of_spikes(drawn, locations[:, 1], displacements, request.motion, recording)
    spikes = InjectedSpikes(
        templates=templates.reshape(num_units * num_steps, *templates.shape[2:]),
        nbefore=nbefore,
        frames=drawn.frames,
        segment_indices=drawn.segment_indices,
        template_indices=drawn.unit_indices * num_steps + steps,
        amplitudes=drawn.amplitudes,
        widening=drawn.widening,
    )
    if sizes.replaced is not None:
        spikes = without_units(spikes, models, np.unique(sizes.replaced))
    counts = np.bincount(drawn.unit_indices, minlength=num_units)
    ids = [f"injected{number}_{unit}" for unit in range(num_units)]
    columns = dict(x_um=locations[:, 0], depth_um=locations[:, 1], source=names, replaces=replaced, num_spikes=counts)
    units = pd.DataFrame(dict(unit_id=ids, snr=snr, **columns, firing_rate=counts / recording.get_total_duration()))
    return Repetition(spikes=spikes, sorting=_as_sorting(drawn, ids, recording), units=units)


def displacement_steps(motion: Motion | None) -> np.ndarray:
    """Displacements in um at which templates are needed, ascending, 0 among them, shape (num_steps,)."""
    if motion is None:
        return np.zeros(1)
    moved = np.concatenate([np.ravel(displacement) for displacement in motion.displacement])
    low, high = min(0.0, moved.min()), max(0.0, moved.max())
    return MOTION_STEP_UM * np.arange(np.floor(low / MOTION_STEP_UM), np.ceil(high / MOTION_STEP_UM) + 1)


def band_passed(templates: np.ndarray, sampling_frequency: float) -> np.ndarray:
    """
    Templates as they look in the band in which SNR is defined.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
    sampling_frequency : float
        In Hz.

    Returns
    -------
    np.ndarray, shape (num_units, num_samples + silence, num_channels), float32
    """
    band = (FREQ_MIN, min(FREQ_MAX, MOST_FREQ_MAX * sampling_frequency))
    sections = iirfilter(ORDER, band, ftype="bessel", fs=sampling_frequency, output="sos").astype("float32")
    silence = round(SILENCE_MS * sampling_frequency / 1000)
    padded = np.pad(templates, ((0, 0), (silence, silence), (0, 0))).astype("float32")
    frames = np.ascontiguousarray(padded.transpose(1, 0, 2).reshape(padded.shape[1], -1))
    filter_forward_and_backward(frames, sections)
    return frames.reshape(padded.shape[1], len(templates), -1).transpose(1, 0, 2)


def _names_and_rates(models: Models, sizes: Sizes, chosen: np.ndarray | None):
    """The model of each unit, the own unit that it replaces or "", and firing rates in Hz or None."""
    sources = models.sources
    if sources is None or chosen is None:
        return ["generated"] * len(sizes.snr), [""] * len(sizes.snr), None
    names, replaced, fires_as = [sources.names[number] for number in chosen], [""] * len(chosen), chosen
    if sizes.replaced is not None:
        replaced, fires_as = [sources.names[number] for number in sizes.replaced], sizes.replaced
    return names, replaced, None if sources.rates is None else sources.rates[fires_as]


def _scaled(templates, rest, snr, models: Models) -> np.ndarray:
    """Templates (units, displacements, samples, channels) with the wanted SNR where the tissue has not moved."""
    in_band = templates[:, rest]
    if models.surroundings.is_filtered_here:
        in_band = band_passed(in_band, models.surroundings.filtered.get_sampling_frequency())
    scale = snr / np.maximum(signal_to_noise(in_band, models.surroundings.noise_levels), 1e-9)
    return (templates * scale[:, None, None, None]).astype("float32")


def _placed_templates(models: Models, sizes: Sizes, rng, displacements):
    """Templates (units, displacements, samples, channels), the model of each or None, and the sample of the peak."""
    surroundings, sources = models.surroundings, models.sources
    if sources is None or models.origin == "generated":
        templates, nbefore = _generated(surroundings, len(sizes.snr), rng, displacements)
        return templates, None, nbefore
    contacts, shanks = surroundings.positions_um, surroundings.shanks
    crowd = Crowd(sources.templates) if sources.origin == "own units" else Crowd(sources.templates[:0])
    templates, models_of, used = [], [], np.zeros(len(sources.templates), dtype="int64")
    gone: set[int] = set() if sizes.replaced is None else set(sizes.replaced.tolist())
    for wanted in sizes.snr:
        chosen, place = _model_and_place(
            sources, surroundings, crowd, _nearest_sources(sources, wanted, used), gone, rng
        )
        used[chosen] += 1
        template = sources.templates[chosen]
        moved = placed(template, sources.positions_um, place, contacts, shanks, displacements_um=displacements)
        crowd.add(moved[np.argmin(np.abs(displacements))])
        templates.append(moved)
        models_of.append(chosen)
    return np.stack(templates), np.array(models_of), sources.nbefore


def _nearest_sources(sources, snr, used) -> np.ndarray:
    """
    The templates whose SNR is nearest, rather scaled down than up; all of templates from elsewhere.

    Only templates that were used least often in this repetition: no sorter can tell copies at one place apart.
    """
    is_free = np.flatnonzero(used == used.min())
    if sources.snr is None:
        return is_free
    least = max(snr, FOUND_SNR)
    distance = np.abs(np.log(sources.snr / least))
    distance = np.where(sources.snr < least, distance + np.log(100.0), distance)
    return is_free[np.argsort(distance[is_free], kind="stable")[:NUM_NEAREST]]


def _model_and_place(sources, surroundings, crowd, nearest, gone, rng) -> tuple[int, Place]:
    """
    One of some models and a place for it, where it is as similar to other units as own units are to each other.

    Units that were taken out (`gone`) are no other units.

    At a place drawn at random, a unit is easier to tell apart than real ones on a long probe, where neurons crowd, and
    harder on a tetrode, where mirror images are nearly the same.
    """
    contacts, shanks, is_alive = surroundings.positions_um, surroundings.shanks, surroundings.noise_levels > 0

    def some_places(source, count):
        places = possible_places(sources.templates[source], sources.positions_um, contacts, shanks, is_alive)
        return [places[number] for number in rng.permutation(len(places))[:count]]

    if len(crowd.usual) == 0:
        source = int(rng.choice(nearest))
        return source, some_places(source, 1)[0]
    wanted = rng.choice(crowd.usual)
    candidates = [
        (int(source), place) for source in rng.permutation(nearest) for place in some_places(source, MOST_PLACES)
    ]
    gaps = []
    for source, place in candidates:
        (moved,) = placed(
            sources.templates[source], sources.positions_um, place, contacts, shanks, displacements_um=np.zeros(1)
        )
        gaps.append(abs(crowd.similarity(moved, without=gone) - wanted))
    return candidates[int(np.argmin(gaps))]


def _generated(surroundings, num_units, rng, displacements):
    """Templates of the generator, each seen on one shank."""
    contacts, shanks = surroundings.positions_um, surroundings.shanks
    alive = np.flatnonzero(surroundings.noise_levels > 0)
    sampling_frequency = surroundings.filtered.get_sampling_frequency()
    settings = GenerationSettings(num_units=num_units, sampling_frequency=sampling_frequency)
    drawn, nbefore = random_templates(contacts[alive], settings, rng)
    templates = np.zeros((num_units, len(displacements), drawn.shape[1], len(contacts)), dtype="float32")
    for unit, template in enumerate(drawn):
        whole = np.zeros((drawn.shape[1], len(contacts)), dtype="float32")
        whole[:, alive] = template * edge_taper(len(template))[:, None]
        main = main_channels(whole[None])[0]
        distance = np.linalg.norm(contacts - contacts[main], axis=1)
        whole[:, (distance > REACH_UM) | (shanks != shanks[main])] = 0.0
        stays = Place(channel=int(main), mirror=MIRRORS[0], offset_um=np.zeros(2))
        templates[unit] = placed(whole, contacts, stays, contacts, shanks, displacements_um=displacements)
    return templates, nbefore


def _steps_of_spikes(drawn: DrawnSpikes, depths_um, displacements, motion, recording) -> np.ndarray:
    """Which of the displacements each spike has, shape (num_spikes,), int64."""
    if motion is None:
        return np.zeros(len(drawn.frames), dtype="int64")
    moved = np.zeros(len(drawn.frames))
    for segment in range(recording.get_num_segments()):
        own = drawn.segment_indices == segment
        times = recording.sample_index_to_time(drawn.frames[own], segment_index=segment)
        moved[own] = motion.get_displacement_at_time_and_depth(
            times, depths_um[drawn.unit_indices[own]], segment_index=segment
        )
    return np.abs(moved[:, None] - displacements).argmin(axis=1)


def _as_sorting(drawn: DrawnSpikes, ids, recording) -> si.NumpySorting:
    trains = []
    for segment in range(recording.get_num_segments()):
        here = drawn.segment_indices == segment
        trains.append({name: drawn.frames[here & (drawn.unit_indices == unit)] for unit, name in enumerate(ids)})
    sorting = si.NumpySorting.from_unit_dict(trains, recording.get_sampling_frequency())
    sorting.annotate(exhaustive_gt=False)
    return sorting
