"""Figure of the spikes of all units."""

from typing import TYPE_CHECKING

import numpy as np

from .measured import MeasuredUnits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Seconds that are shown: at usual rates, single spikes are still told apart.
RASTER_S = 10.0
# Units that have their names at the axis.
MOST_NAMES = 30


def raster(units: MeasuredUnits) -> "Figure":
    """Spikes of each unit in the first seconds, units in the order of depth."""
    # Figure, not pyplot: nothing is kept alive and no window is opened.
    from matplotlib.figure import Figure

    order = np.argsort(units.unit_locations[:, 1], kind="stable")
    num_units = len(order)
    figure = Figure(figsize=(10, min(2 + 0.16 * num_units, 9)), layout="constrained")
    axes = figure.add_subplot()
    duration = min(RASTER_S, units.duration_s)
    trains = [units.spike_times_s[unit][units.spike_times_s[unit] <= duration] for unit in order]
    axes.eventplot(trains, colors="0.2", linelengths=0.8, linewidths=0.8)
    step = max(1, num_units // MOST_NAMES)
    axes.set_yticks(np.arange(num_units)[::step], [str(units.unit_ids[unit]) for unit in order[::step]], fontsize=7)
    axes.set(xlabel="time (s)", ylabel="unit, from the lowest to the highest", xlim=(0, duration))
    return figure
