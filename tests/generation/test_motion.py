"""Drift is as large as asked for, jumps are jumps, and spikes move with the tissue."""

import numpy as np
import pytest
from probeinterface import Probe

from si_deepsort.generation import GenerationSettings, generate_recording, motion, named_probe


def rng():
    return np.random.default_rng(4)


def test_drift_is_slow_and_as_large_as_asked():
    moved = motion.motion_um(100.0, rng(), drift_um=20.0, jump_um=0.0)
    assert np.abs(moved).max() == pytest.approx(20.0, rel=0.01)
    assert np.abs(np.diff(moved)).max() < 0.5
    assert not motion.motion_um(100.0, rng(), drift_um=0.0, jump_um=0.0).any()


def test_jumps_are_sudden_few_and_bounded():
    moved = motion.motion_um(400.0, rng(), drift_um=0.0, jump_um=5.0)
    jumps = np.diff(moved)
    assert 1 <= np.count_nonzero(jumps) <= 25
    assert np.abs(moved).max() <= 5.0 * motion.MOST_JUMPS
    sizes = np.concatenate(
        [np.diff(motion.motion_um(80.0, own, drift_um=0.0, jump_um=5.0)) for own in rng().spawn(300)]
    )
    assert sizes[sizes != 0].std() == pytest.approx(5.0, rel=0.15)


def test_spikes_of_a_recording_move():
    common = dict(duration_s=6.0, num_units=1, num_far_units=0, noise_uV=1.0, seed=3, amplitude_min_uV=200.0)
    common |= dict(firing_rate_min=15.0, firing_rate_max=15.0)
    recording, sorting = generate_recording(named_probe("linear32"), GenerationSettings(drift_um=25.0, **common))
    traces, frames = recording.get_traces(), sorting.get_unit_spike_train(sorting.unit_ids[0])
    depth = recording.get_channel_locations()[:, 1]
    sizes = np.array([np.ptp(traces[frame - 20 : frame + 30], axis=0) for frame in frames]) ** 2
    sizes[sizes < sizes.max(axis=1, keepdims=True) / 20] = 0.0
    found = sizes @ depth / sizes.sum(axis=1)
    # Where the tissue moves up, the spikes do.
    expected = motion.displacement_um(frames / 30_000, 25.0, 6.0)
    assert np.corrcoef(found, expected)[0, 1] > 0.9


def test_moved_templates_are_the_templates_elsewhere():
    probe = named_probe("linear32")
    depth = probe.contact_positions[:, 1]
    template = np.exp(-((depth - 400.0) ** 2) / 5000.0)[None, None]
    moved, displacements = motion.moved_templates(template, probe, reach_um=25.0, num_steps=3)
    np.testing.assert_array_equal(displacements, [-25, 0, 25])
    np.testing.assert_allclose(moved[1], template, atol=1e-6)
    np.testing.assert_allclose(moved[2][0, 0, 1:], template[0, 0, :-1], atol=1e-6)


@pytest.mark.parametrize("layout", ["linear32", "neuropixels2", "neuropixels1"])
def test_spikes_at_the_ends_of_a_probe_change_smoothly(layout):
    """Spline interpolation ends at the outermost contacts: there, half of a spike vanished within one step."""
    probe = named_probe(layout)
    ends = probe.contact_positions[:, 1].argmin(), probe.contact_positions[:, 1].argmax()
    distances = np.linalg.norm(probe.contact_positions[:, None] - probe.contact_positions[ends, :], axis=2)
    templates = np.exp(-distances / 25.0).T[:, None].astype("float32")
    moved, _ = motion.moved_templates(templates, probe, reach_um=20.0, num_steps=41)
    steps = np.linalg.norm(np.diff(moved, axis=0), axis=(2, 3)) / np.linalg.norm(moved, axis=(2, 3)).min()
    assert np.all(steps < 3 * np.median(steps, axis=0))
    assert np.all(np.linalg.norm(moved, axis=(2, 3)) < 2 * np.linalg.norm(templates, axis=(1, 2)))


def test_one_contact_cannot_tell_drift():
    with pytest.raises(ValueError, match="one depth"):
        generate_recording(named_probe("single"), GenerationSettings(duration_s=1.0, drift_um=5.0))


@pytest.mark.parametrize(
    "place, message", [([0, 20, 30.0], "2 contacts .* at one place"), ([np.nan, 0, 0], "no position")]
)
def test_contacts_without_a_place_of_their_own_are_refused(place, message):
    probe = Probe(ndim=3, si_units="um")
    axes = np.tile([[1.0, 0, 0], [0, 1.0, 0]], (3, 1, 1))
    positions = np.array([[0.0, 0, 0], [0, 20, 0], place])
    probe.set_contacts(positions=positions, plane_axes=axes, shapes="circle", shape_params={"radius": 5})
    with pytest.raises(ValueError, match=message):
        motion.moved_templates(np.ones((1, 4, 3), "float32"), probe, reach_um=5.0, num_steps=3)
