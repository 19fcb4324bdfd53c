"""Map of the probe: contacts, and units where their spikes come from, with links to their cards."""

import html

import numpy as np
import spikeinterface.core as si

from .measured import MeasuredUnits
from .unit_cards import anchor

# Height of the map in pixels before zooming, and the width that a linear probe gets.
HEIGHT, LEAST_WIDTH = 560, 200
# Space around the contacts in um: units lie up to this far from their nearest contact.
MARGIN_UM = 60.0
# Side of a contact in um, where the probe does not say; that of Neuropixels.
CONTACT_UM = 12.0
# Units whose names are written beside them; more overlap.
MOST_LABELS = 80


def probe_map(recording: si.BaseRecording, units: MeasuredUnits | None) -> str:
    """
    The map with a slider that enlarges it.

    Parameters
    ----------
    recording : BaseRecording
    units : MeasuredUnits | None
        None if no unit was found.

    Returns
    -------
    str
        HTML.
    """
    if recording.has_channel_location():
        contacts = np.asarray(recording.get_channel_locations(), dtype=float)[:, :2]
    else:
        contacts = np.zeros((recording.get_num_channels(), 2))
    low, high = contacts.min(axis=0) - MARGIN_UM, contacts.max(axis=0) + MARGIN_UM
    scale = HEIGHT / (high[1] - low[1])
    width = max(float(high[0] - low[0]) * scale, LEAST_WIDTH)
    # All contacts of a linear probe have the same x; rounding must not look like a distance.
    x_scale = width / (high[0] - low[0])

    def place(positions: np.ndarray) -> np.ndarray:
        return np.stack([(positions[:, 0] - low[0]) * x_scale, (high[1] - positions[:, 1]) * scale], axis=1)

    side = float(np.clip(CONTACT_UM * scale, 1.5, 12))
    corners = place(contacts) - side / 2
    squares = "".join(f"M{x:.1f} {y:.1f}h{side:.1f}v{side:.1f}h-{side:.1f}z" for x, y in corners)
    drawn = f'<path class="contacts" d="{squares}"/>' + ("" if units is None else _units(units, place))
    picture = (
        f'<svg id="map" viewBox="0 0 {width:.0f} {HEIGHT}" width="{width:.0f}" role="img" '
        f'aria-label="Contacts and units on the probe">{drawn}</svg>'
    )
    caption = f"{contacts[:, 1].min():.0f} um (bottom) to {contacts[:, 1].max():.0f} um (top). Squares are contacts"
    caption += "." if units is None else ", circles are units; a larger circle is a larger spike."
    return (
        f'<p class="note">{caption}</p><p><label>Zoom <input type="range" id="zoom" min="1" max="12" step="0.5" '
        f'value="1"></label></p><div class="wide map" tabindex="0">{picture}</div>'
    )


def _units(units: MeasuredUnits, place) -> str:
    known = np.flatnonzero(np.isfinite(units.unit_locations).all(axis=1))
    sizes = np.abs(units.templates).max(axis=(1, 2))
    radius = 2 + 5 * np.sqrt(sizes / max(float(sizes.max()), 1e-9))
    elements = []
    for unit, (x, y) in zip(known, place(units.unit_locations[known]), strict=True):
        name = html.escape(str(units.unit_ids[unit]))
        label = f'<text x="{x + radius[unit] + 2:.1f}" y="{y + 3:.1f}">{name}</text>' * (len(known) <= MOST_LABELS)
        elements.append(
            f'<a href="#{anchor(units.unit_ids[unit])}" aria-label="unit {name}"><title>unit {name}</title>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius[unit]:.1f}"/>{label}</a>'
        )
    return "".join(elements)
