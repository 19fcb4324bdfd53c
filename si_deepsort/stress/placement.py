"""Templates moved to another place on the probe: to a contact, or to its mirror image, and along with the tissue."""

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import KDTree

from ..spike_vectors import main_channels

# Contacts around the new place that should lie where the template was known, in um from the main channel.
NEAR_UM = 60.0
# Two contacts are at one place up to here, in um: far below the distance of contacts.
SAME_PLACE_UM = 1.0
# Signs of the mirror images across and along the probe, the template as it is first.
MIRRORS = ((1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclass(frozen=True, eq=False, kw_only=True)
class Place:
    """
    A place for a template.

    Attributes
    ----------
    channel : int
        The contact that becomes the main channel.
    mirror : (int, int)
        Signs across and along the probe.
    offset_um : np.ndarray, shape (2,), float64
        From the mirrored position of a contact of the template to its new position.
    """

    channel: int
    mirror: tuple[int, int]
    offset_um: np.ndarray


def possible_places(
    template: np.ndarray, source_um: np.ndarray, target_um: np.ndarray, shanks: np.ndarray, is_alive: np.ndarray
) -> list[Place]:
    """
    Places where a template can go without guessing what contacts would have seen there.

    Parameters
    ----------
    template : np.ndarray, shape (num_samples, num_source_channels), float32
    source_um, target_um : np.ndarray, shape (num_channels, 2), float64
        Contacts on which the template is known, and those of the recording.
    shanks : np.ndarray, shape (num_target_channels,), int
    is_alive : np.ndarray, shape (num_target_channels,), bool
        A dead channel is never the main one.

    Returns
    -------
    list of Place
        Those whose neighbourhood coincides with contacts of the template, the present place left out. If there is
        none, all living contacts, with the template as it is (its values are then interpolated, or it stays).
    """
    main = source_um[main_channels(template[None])[0]]
    places, others = [], []
    for mirror in MIRRORS:
        tree = KDTree(source_um * mirror)
        for channel in np.flatnonzero(is_alive):
            offset = target_um[channel] - main * mirror
            place = Place(channel=int(channel), mirror=mirror, offset_um=offset)
            near = (np.linalg.norm(target_um - target_um[channel], axis=1) <= NEAR_UM) & (shanks == shanks[channel])
            distance, _ = tree.query(target_um[near] - offset)
            is_present_place = np.allclose(source_um * mirror + offset, source_um, atol=SAME_PLACE_UM)
            if distance.max() < SAME_PLACE_UM and not is_present_place:
                places.append(place)
            elif mirror == (1, 1):
                others.append(place)
    return places or others


def placed(
    template: np.ndarray,
    source_um: np.ndarray,
    place: Place,
    target_um: np.ndarray,
    shanks: np.ndarray,
    *,
    displacements_um: np.ndarray,
) -> np.ndarray:
    """
    A template at its place, for each displacement of the tissue.

    Values between contacts are interpolated linearly in the distance; values at contacts are exact.

    Parameters
    ----------
    template : np.ndarray, shape (num_samples, num_source_channels), float32
    source_um, target_um : np.ndarray, shape (num_channels, 2), float64
    place : Place
    shanks : np.ndarray, shape (num_target_channels,), int
        The template is seen on the shank of its place only.
    displacements_um : np.ndarray, shape (num_displacements,), float64
        Along the probe.

    Returns
    -------
    np.ndarray, shape (num_displacements, num_samples, num_target_channels), float32
    """
    known = np.flatnonzero(template.any(axis=0))
    here = source_um * place.mirror + place.offset_um
    on_shank = np.flatnonzero(shanks == shanks[place.channel])
    moved = np.zeros((len(displacements_um), len(template), len(target_um)), dtype="float32")
    # Contacts without the unit are known to be silent, as far as they are beside those with it.
    is_near = KDTree(here[known]).query(here)[0] <= NEAR_UM
    # Contacts at one and the same place count once.
    _, first = np.unique(np.round(here[is_near], 3), axis=0, return_index=True)
    here, values = here[is_near][first], template.T[is_near][first]
    interpolate = RBFInterpolator(here, values, kernel="linear", degree=0) if len(here) > 1 else None
    tree, pitch = KDTree(here), _pitch(here)
    for number, displacement in enumerate(displacements_um):
        wanted = target_um[on_shank] - [0.0, displacement]
        distance, nearest = tree.query(wanted)
        seen = distance < max(pitch, SAME_PLACE_UM)
        if not seen.any():
            continue
        found = values[nearest[seen]] if interpolate is None else interpolate(wanted[seen])
        exact = distance[seen] < 1e-6
        found = np.where(exact[:, None], values[nearest[seen]], found)
        moved[number][:, on_shank[seen]] = found.T
    return moved


def _pitch(positions: np.ndarray) -> float:
    """Median distance of a contact to the nearest other one, in um; 0 for a single contact."""
    if len(positions) < 2:
        return 0.0
    return float(np.median(KDTree(positions).query(positions, k=2)[0][:, 1]))


class Crowd:
    """
    Templates of the units that are in a recording, with which another one can be compared.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
    """

    def __init__(self, templates: np.ndarray):
        self._directions = [_direction(template) for template in templates]
        products = np.array(self._directions) @ np.array(self._directions).T if len(templates) else np.zeros((0, 0))
        np.fill_diagonal(products, -1.0)
        # Cosine of each unit with the unit that is most similar to it; none for a single unit.
        self.usual = products.max(axis=1) if len(templates) > 1 else np.zeros(0)

    def similarity(self, template: np.ndarray, *, without: Set[int] = frozenset()) -> float:
        """Cosine of a template (samples, channels) with the most similar unit, those of some numbers left out; or 0."""
        others = [own for number, own in enumerate(self._directions) if number not in without]
        return float(max((np.dot(own, _direction(template)) for own in others), default=0.0))

    def add(self, template: np.ndarray) -> None:
        """Another unit; what is usual stays as it is."""
        self._directions.append(_direction(template))


def _direction(template: np.ndarray) -> np.ndarray:
    """The template as a vector of length 1."""
    values = np.asarray(template, dtype="float32").ravel()
    return values / max(float(np.linalg.norm(values)), 1e-12)
