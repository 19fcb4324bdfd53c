"""
Templates of neurons with dendrites: the extracellular potential of a spike that spreads from the soma by cable theory.

A parametric template has one centre, from which it decays. The current that enters the soma of a neuron leaves along
its dendrites, with a delay and with the other sign: a probe beside an apical dendrite sees one spike at several places.
Here each neuron is a soma with a few straight passive cables, and the contacts see the sum of its point currents
(Holt and Koch 1999, "Electrical interactions via the extracellular potential near cell bodies").
"""

from dataclasses import dataclass

import numpy as np

from .settings import GenerationSettings

# Samples of a template before and after its peak, in ms: until slow repolarisation has ended.
MS_BEFORE, MS_AFTER = 1.5, 3.0
# Duration of the spike that is computed, in ms: the potential at the soma has returned to rest.
DURATION_MS = 16.0
# Length of a piece of cable in um: short against the distance at which contacts see it.
PIECE_UM = 15.0
# Smallest distance in um between a current and a contact: the radius of a soma or a contact.
LEAST_DISTANCE_UM = 8.0
# How far beyond the contacts somata are, and their distance from the plane of the probe, in um: single units are
# recorded up to some 50 um from the probe (Buzsaki 2004).
MARGIN_UM, FROM_PROBE_UM = 30.0, (8.0, 55.0)
# Ranges of the length constant of a cable in um and of its membrane's time constant in ms: Koch 1999, "Biophysics of
# computation", chapter 3.
LENGTH_CONSTANT_UM, TIME_CONSTANT_MS = (150.0, 1000.0), (3.0, 30.0)
# Ranges of the length of dendrites in um and of the number of basal ones: cortical neurons.
APICAL_UM, BASAL_UM, NUM_BASAL = (120.0, 700.0), (40.0, 200.0), (3, 7)
# Share of the neurons with an apical dendrite; its current relative to a basal one; largest angle to the probe in rad.
APICAL_SHARE, APICAL_WEIGHT, APICAL_ANGLE = 0.7, (1.0, 6.0), 0.5
# Ranges in ms of the rise and the fall of the spike inside the soma: from interneurons to pyramidal cells.
RISE_MS, FALL_MS = (0.05, 0.15), (0.12, 0.6)


@dataclass(frozen=True)
class _Cable:
    """A straight dendrite: where it points, its length in um, its constants and its share of the current."""

    direction: np.ndarray
    length_um: float
    length_constant_um: float
    time_constant_ms: float
    weight: float


def cable_templates(
    channel_locations: np.ndarray, settings: GenerationSettings, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """
    Templates of neurons whose spike spreads into dendrites; arguments and result as of `templates.random_templates`.

    The polarity comes from the cables and not from the settings.
    """
    frequency = settings.sampling_frequency
    nbefore, nafter = round(MS_BEFORE * frequency / 1000), round(MS_AFTER * frequency / 1000)
    low, high = channel_locations.min(axis=0) - MARGIN_UM, channel_locations.max(axis=0) + MARGIN_UM
    templates = np.zeros((settings.num_units, nbefore + nafter, len(channel_locations)), dtype="float32")
    for template in templates:
        soma = np.append(rng.uniform(low, high), rng.uniform(*FROM_PROBE_UM))
        potential = _potential(channel_locations, soma, _draw_cables(rng), frequency, rng)
        peak = int(np.abs(potential).max(axis=1).argmax())
        template[:] = np.roll(potential, nbefore - peak, axis=0)[: nbefore + nafter]
        peak_uV = np.exp(rng.uniform(np.log(settings.amplitude_min_uV), np.log(settings.amplitude_max_uV)))
        template *= peak_uV / np.abs(template).max()
    return templates, nbefore


def _draw_cables(rng: np.random.Generator) -> list[_Cable]:
    """The dendrites of a neuron."""
    time_constant = np.exp(rng.uniform(*np.log(TIME_CONSTANT_MS)))
    cables = []
    for _ in range(rng.integers(*NUM_BASAL, endpoint=True)):
        direction = rng.standard_normal(3)
        length_constant = np.exp(rng.uniform(*np.log(LENGTH_CONSTANT_UM)))
        cables.append(
            _Cable(direction / np.linalg.norm(direction), rng.uniform(*BASAL_UM), length_constant, time_constant, 1.0)
        )
    if rng.random() < APICAL_SHARE:
        angle, side = rng.uniform(0, APICAL_ANGLE), rng.uniform(0, 2 * np.pi)
        pointing = [np.sin(angle) * np.cos(side), rng.choice([-1, 1]) * np.cos(angle), np.sin(angle) * np.sin(side)]
        length_constant = np.exp(rng.uniform(*np.log(LENGTH_CONSTANT_UM)))
        weight = np.exp(rng.uniform(*np.log(APICAL_WEIGHT)))
        cables.append(_Cable(np.array(pointing), rng.uniform(*APICAL_UM), length_constant, time_constant, weight))
    return cables


def _potential(channel_locations, soma, cables: list[_Cable], frequency, rng) -> np.ndarray:
    """Potential at the contacts over time, (num_samples, num_channels), in an arbitrary unit."""
    num_samples = round(DURATION_MS * frequency / 1000)
    inside = np.fft.rfft(_inside_soma(num_samples, frequency, rng))
    omega = 2j * np.pi * np.fft.rfftfreq(num_samples, 1 / frequency)
    contacts = np.column_stack([channel_locations, np.zeros(len(channel_locations))])
    seen = np.zeros((len(inside), len(contacts)), dtype=complex)
    at_soma = _nearness(contacts, soma[None])
    for cable in cables:
        edges = np.linspace(0, cable.length_um, max(2, round(cable.length_um / PIECE_UM) + 1))
        middles = soma + (edges[:-1] + edges[1:])[:, None] / 2 * cable.direction
        constant = np.sqrt(1 + omega * cable.time_constant_ms / 1000) / cable.length_constant_um
        # The current along the cable; what has not left it by its end leaves there.
        along = np.exp(-constant[:, None] * edges)
        along[:, -1] = 0
        current = inside * constant * cable.weight
        seen += current[:, None] * ((along[:, :-1] - along[:, 1:]) @ _nearness(contacts, middles) - at_soma)
    return np.fft.irfft(seen, num_samples, axis=0)


def _nearness(contacts: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Inverse distance of contacts from currents, (num_sources, num_contacts), in 1 / um."""
    distances = np.linalg.norm(sources[:, None] - contacts[None], axis=-1)
    return 1 / np.maximum(distances, LEAST_DISTANCE_UM)


def _inside_soma(num_samples: int, frequency: float, rng) -> np.ndarray:
    """The potential of a spike inside the soma over time: a rise, a fall and a small afterhyperpolarisation."""
    times_ms = (np.arange(num_samples) - num_samples // 3) * 1000 / frequency
    rise, fall = np.exp(rng.uniform(*np.log(RISE_MS))), np.exp(rng.uniform(*np.log(FALL_MS)))
    width = np.where(times_ms < 0, rise, fall)
    spike = np.exp(-(np.abs(times_ms / width) ** rng.uniform(1.3, 2.0)))
    late = np.maximum(times_ms, 0) / (3 * fall)
    return spike - rng.uniform(0.0, 0.2) * late * np.exp(1 - late)
