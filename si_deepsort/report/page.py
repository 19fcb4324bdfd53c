"""The report as one HTML page that needs no other file."""

from ..html_report import embed_figure, embed_table, fact_table, paragraph, section
from ..html_report import render_page as html_page
from .environment import package_versions

CITATIONS = (
    "Buccino et al. (2020). SpikeInterface, a unified framework for spike sorting. eLife 9:e61834.",
    "Magland and Barnett (2015). Unimodal clustering using isotonic regression: ISO-SPLIT. arXiv:1508.04841.",
    "Garcia et al. (2022). How do spike collisions affect spike sorting performance? eNeuro 9(5).",
    "Hill, Mehta and Kleinfeld (2011). Quality metrics to accompany spike sorting. J. Neurosci. 31(24):8699.",
)


def render_page(sorting, recording, metrics, figures: dict, params: dict) -> str:
    """
    The page.

    Parameters
    ----------
    sorting : BaseSorting
    recording : BaseRecording
    metrics : pandas.DataFrame | None
        Quality metrics, one row for each unit.
    figures : dict
        Title -> matplotlib Figure.
    params : dict
        Settings of the sorter; empty if unknown.

    Returns
    -------
    str
        HTML; pictures are inside.
    """
    facts = {
        "units": len(sorting.unit_ids),
        "spikes": sorting.count_total_num_spikes(),
        "channels": recording.get_num_channels(),
        "duration": f"{recording.get_total_duration():.1f} s in {recording.get_num_segments()} segment(s)",
        "sampling frequency": f"{recording.get_sampling_frequency():.0f} Hz",
    }
    parts = [fact_table(facts)]
    if metrics is None:
        parts.append(paragraph("No unit was found: nothing stands out from the noise, or too rarely to make a unit."))
    parts += [section(title, embed_figure(figure, title)) for title, figure in figures.items()]
    if metrics is not None:
        parts.append(
            section("Quality metrics", embed_table(metrics.rename_axis("unit").reset_index(), shows_index=False))
        )
    if params:
        parts.append(section("Settings", fact_table(params)))
    parts.append(section("Versions", fact_table(package_versions())))
    parts.append(section("Please cite", *map(paragraph, CITATIONS)))
    return html_page(f"Spike sorting: {len(sorting.unit_ids)} units", parts)
