"""The front end of the sorter as steps, by which a detector recognises the traces that it was trained on."""

from ...detection.front_end import FrontEnd, white_front_end
from ..settings import DeepSortSettings


def front_end_steps(settings: DeepSortSettings) -> FrontEnd:
    """The steps from a recording to the white traces in which the sorter with these settings detects spikes."""
    is_filtered_here = settings.apply_preprocessing
    return white_front_end(
        freq_min=settings.freq_min if is_filtered_here else None,
        freq_max=settings.freq_max if is_filtered_here else None,
        with_reference=is_filtered_here and settings.common_reference,
        order=settings.whitening_order,
        radius_um=settings.whitening_radius_um,
    )
