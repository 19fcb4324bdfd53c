"""Whether labels help is measured on time that was not learnt from, wherever in a spike the labels lie."""

import numpy as np
import pytest
from small_units import make_recording
from spikeinterface.core import append_recordings

from si_deepsort.training.classification.compare import PLACE, _split
from si_deepsort.training.classification.train import ClassifierTrainingSettings, train_classifier

QUICK = ClassifierTrainingSettings(num_epochs=0, progress_bar=False, device="cpu")


def test_the_two_parts_are_the_whole():
    recording, sorting = make_recording(duration_s=2.0)
    ((first, rest),) = _split([recording], 0.3)
    ((first_labels, rest_labels),) = _split([sorting], 0.3, [recording])
    np.testing.assert_array_equal(np.concatenate([first.get_traces(), rest.get_traces()]), recording.get_traces())
    for unit in sorting.unit_ids:
        trains = (
            first_labels.get_unit_spike_train(unit),
            first.get_num_frames() + rest_labels.get_unit_spike_train(unit),
        )
        np.testing.assert_array_equal(np.concatenate(trains), sorting.get_unit_spike_train(unit))


@pytest.mark.parametrize("part", [-0.1, 1.0, 30])
def test_no_share_of_the_time_is_refused(part):
    with pytest.raises(ValueError, match="compared_part"):
        train_classifier(*make_recording(duration_s=2.0), compared_part=part, settings=QUICK)


def test_several_segments_are_refused_with_a_remedy():
    recording = append_recordings([make_recording(duration_s=2.0)[0]] * 2)
    with pytest.raises(ValueError, match="2 segments"):
        _split([recording], 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("label_shift", [0, -10])
def test_a_clear_recording_is_sorted_well_with_labels_and_without(label_shift):
    trained = train_classifier(*make_recording(label_shift=label_shift), compared_part=0.5, settings=QUICK)
    score = trained.scores[PLACE]
    assert score.value > 0.8 and score.default > 0.8
    assert trained.info.comparisons[PLACE] == str(score) and "sorting without labels" in repr(trained)
