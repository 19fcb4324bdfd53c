"""Table of all units, which the page sorts and filters."""

import html
from collections.abc import Hashable

import pandas as pd

from ..html_report import embed_table, format_value
from .measured import MeasuredUnits
from .sampled_peaks import SampledPeaks
from .unit_cards import REFRACTORY_MS, link, thumbnail
from .worries import Worry

FILTERS = (
    '<p class="filters"><label>Filter <input type="search" id="filter" size="30" '
    'placeholder="unit, label, check, or SNR &gt; 5"></label> '
    '<label><input type="checkbox" id="only-checked"> only units to check</label> '
    '<span id="count" class="note" role="status"></span></p>'
)

# What the columns of an assessment mean.
EXPECTED_NOTE = (
    '<p class="note">Expected precision: share of the spikes of the unit that are those of its neuron. Expected '
    "recall: share of the spikes of the neuron that are in the unit. Both are estimated by a network, with an interval "
    "of 90 % below; the number below the label is its probability. The reasons are in the card of each unit.</p>"
)

# What stands in the table where `si_deepsort.assess` did not run.
NOT_ASSESSED = "not assessed"


def labels_by_unit(worries: list[Worry]) -> dict[Hashable, list[str]]:
    """Checks that each unit fails; units that pass all are not in it."""
    labels: dict[Hashable, list[str]] = {}
    for worry in worries:
        for unit_id in worry.unit_ids:
            labels.setdefault(unit_id, []).append(worry.label)
    return labels


def unit_table(units: MeasuredUnits, labels: dict[Hashable, list[str]], peaks: SampledPeaks | None = None) -> str:
    """
    Table with a thumbnail, the main numbers and the failed checks of each unit.

    Parameters
    ----------
    units : MeasuredUnits
    labels : dict
        From `labels_by_unit`.
    peaks : SampledPeaks | None, default: None
        Show how far each unit moves along the probe.

    Returns
    -------
    str
        HTML: the filters and the table.
    """
    metrics, num_units = units.metrics, len(units.unit_ids)
    num_intervals = [max(len(units.intervals_ms(unit)), 1) for unit in range(num_units)]
    short = [(units.intervals_ms(unit) < REFRACTORY_MS).sum() / num_intervals[unit] for unit in range(num_units)]
    numbers = {
        "spikes": metrics["num_spikes"],
        "rate (Hz)": metrics["firing_rate"],
        "SNR": metrics["snr"],
        f"amplitude ({units.amplitude_unit})": metrics["amplitude_median"],
        f"intervals < {REFRACTORY_MS:g} ms (%)": [100 * share for share in short],
        "from other neurons (%)": 100 * metrics["rp_contamination"],
        "missing (%)": 100 * metrics["amplitude_cutoff"],
        "present (%)": 100 * metrics["presence_ratio"],
        "depth (um)": units.unit_locations[:, 1].round(),
    }
    if peaks is not None:
        numbers["drift (um)"] = [round(peaks.drift_um(unit), 0) for unit in range(num_units)]
    frame = pd.DataFrame(
        {
            "unit": [link(unit_id) for unit_id in units.unit_ids],
            "template": [thumbnail(units, unit) for unit in range(num_units)],
            **_expected_columns(units),
            **{name: [format_value(value) for value in values] for name, values in numbers.items()},
            "to check": [html.escape(", ".join(labels.get(unit_id, []))) for unit_id in units.unit_ids],
        }
    )
    note = "" if units.expected is None else EXPECTED_NOTE
    return note + FILTERS + embed_table(frame, shows_index=False, is_html=True, name="units")


def _expected_columns(units: MeasuredUnits) -> dict[str, list[str]]:
    """Label, and expected precision and recall with their 90 % intervals."""
    if units.expected is None:
        return {f"expected {name}": [NOT_ASSESSED] * len(units.unit_ids) for name in ("precision", "recall")}
    columns = {"label": [_two_lines(row.label, f"{row.confidence:.2f}") for row in units.expected.itertuples()]}
    for name in ("precision", "recall"):
        numbers = units.expected[[f"expected_{name}", f"{name}_lower", f"{name}_upper"]].to_numpy()
        columns[f"expected {name}"] = [
            _two_lines(f"{middle:.2f}", f"{low:.2f} to {high:.2f}") for middle, low, high in numbers
        ]
    return columns


def _two_lines(text: str, below: str) -> str:
    """A cell with a smaller second line; the space keeps the two apart where the page is read as text."""
    return f"{html.escape(text)} <small>{html.escape(below)}</small>"
