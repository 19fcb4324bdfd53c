"""Pictures of a sorting: probe map, templates, raster, amplitudes."""

import numpy as np

MOST_TEMPLATES = 60
RASTER_S = 10.0
MOST_POINTS = 2000
PALETTE = "viridis"
# Distances of unit labels from their units, in points.
LABEL_COLUMNS = (10, 30, 50)


def make_figures(recording, analyzer) -> dict:
    """
    The pictures of the report.

    Parameters
    ----------
    recording : BaseRecording
    analyzer : SortingAnalyzer | None
        None if no unit was found.

    Returns
    -------
    dict
        Title -> matplotlib Figure.
    """
    figures = {"Probe and units": probe_map(recording, analyzer)}
    if analyzer is not None:
        figures["Templates on the main channel"] = templates(analyzer)
        figures["Spikes"] = raster(analyzer)
        figures["Amplitudes"] = amplitudes(analyzer)
    return figures


def probe_map(recording, analyzer):
    """Contacts, and units where their spikes come from."""
    figure = _figure(5, 7)
    axes = figure.add_subplot()
    if recording.has_channel_location():
        x, y = np.asarray(recording.get_channel_locations())[:, :2].T
    else:
        x, y = np.zeros((2, recording.get_num_channels()))
    axes.scatter(x, y, marker="s", s=18, color="0.75", label="contact")
    # All contacts of a linear probe have the same x; rounding must not look like a distance.
    half_width = max(0.6 * np.ptp(x), 40.0)
    if analyzer is not None:
        places = analyzer.get_extension("unit_locations").get_data()
        # A unit without a spike has no place.
        has_place = np.isfinite(places[:, 0])
        # Room for labels.
        half_width = max(half_width, 1.4 * np.abs(places[:, 0] - x.mean()).max(where=has_place, initial=0.0))
        axes.scatter(places[:, 0], places[:, 1], c=unit_colors(analyzer), s=60, edgecolor="k", label="unit", zorder=2)
        if len(places) <= 80:
            # Neighbours over depth get labels in different columns, left and right.
            for rank, unit in enumerate(np.argsort(places[:, 1])):
                side, alignment = (1, "left") if rank % 2 else (-1, "right")
                offset = side * LABEL_COLUMNS[rank // 2 % len(LABEL_COLUMNS)]
                axes.annotate(
                    str(analyzer.unit_ids[unit]),
                    places[unit, :2],
                    xytext=(offset, 0),
                    textcoords="offset points",
                    ha=alignment,
                    va="center",
                    fontsize=8,
                    arrowprops=dict(arrowstyle="-", linewidth=0.4, color="0.5"),
                )
    axes.set(xlabel="x (um)", ylabel="depth (um)")
    axes.set_xlim(x.mean() - half_width, x.mean() + half_width)
    axes.legend(loc="upper right", fontsize=8)
    return figure


def templates(analyzer):
    """Average waveform of each unit on its main channel."""
    extension = analyzer.get_extension("templates")
    average = extension.get_data(operator="average")
    spread = extension.get_data(operator="std")
    milliseconds = (np.arange(average.shape[1]) - extension.nbefore) / analyzer.sampling_frequency * 1000
    main = np.abs(average).max(axis=1).argmax(axis=1)
    shown = min(len(average), MOST_TEMPLATES)
    columns = min(6, shown)
    rows = -(-shown // columns)
    figure = _figure(1.9 * columns + 0.6, 1.5 * rows + 0.4)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for unit, axes in enumerate(grid.flat):
        axes.axis("off" if unit >= shown else "on")
        if unit < shown:
            mean, deviation = average[unit, :, main[unit]], spread[unit, :, main[unit]]
            axes.fill_between(milliseconds, mean - deviation, mean + deviation, color="0.85")
            axes.plot(milliseconds, mean, color=unit_colors(analyzer)[unit], linewidth=1.5)
            axes.set_title(f"{analyzer.unit_ids[unit]}", fontsize=9, loc="left", pad=2)
            axes.tick_params(labelsize=7)
    figure.supxlabel("ms", fontsize=9)
    figure.supylabel("uV" if analyzer.return_in_uV else "counts", fontsize=9)
    return figure


def raster(analyzer):
    """Spikes of each unit in the first seconds."""
    units = analyzer.unit_ids
    figure = _figure(10, min(2 + 0.16 * len(units), 9))
    axes = figure.add_subplot()
    duration = min(RASTER_S, analyzer.get_num_samples(0) / analyzer.sampling_frequency)
    trains = [analyzer.sorting.get_unit_spike_train(unit, 0) / analyzer.sampling_frequency for unit in units]
    axes.eventplot(
        [train[train <= duration] for train in trains], colors=unit_colors(analyzer), linelengths=0.8, linewidths=0.8
    )
    step = max(1, len(units) // 30)
    axes.set_yticks(np.arange(len(units))[::step], [str(unit) for unit in units[::step]], fontsize=7)
    axes.set(xlabel="s", ylabel="unit", xlim=(0, duration))
    return figure


def amplitudes(analyzer):
    """Size of each spike over the recording: gaps, drift and missed spikes show here."""
    by_unit = analyzer.get_extension("spike_amplitudes").get_data(outputs="by_unit")[0]
    figure = _figure(10, 4.5)
    axes = figure.add_subplot()
    for unit, color in zip(analyzer.unit_ids, unit_colors(analyzer), strict=True):
        seconds = analyzer.sorting.get_unit_spike_train(unit, 0) / analyzer.sampling_frequency
        shown = slice(None, None, max(1, len(seconds) // MOST_POINTS))
        axes.plot(seconds[shown], by_unit[unit][shown], ".", markersize=2, color=color, rasterized=True)
    axes.set(xlabel="s", ylabel="amplitude (uV)" if analyzer.return_in_uV else "amplitude (counts)")
    return figure


def unit_colors(analyzer):
    """One colour for each unit, by its place in the list (units are ordered by depth)."""
    import matplotlib

    return matplotlib.colormaps[PALETTE](np.linspace(0, 0.92, max(len(analyzer.unit_ids), 1)))


def _figure(width, height):
    # Figure, not pyplot: nothing is kept alive and no window is opened.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
