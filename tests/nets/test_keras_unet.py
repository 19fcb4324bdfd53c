"""The reader of the original's Keras files: equal numbers, and plain words for files that are something else."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from si_deepsort.nets.keras_unet import KerasUNet, KerasUNetConfig, read_keras_unet

# Made once with TensorFlow 2.21 and Keras 2: the original's network function with all widths divided by 16, trained
# for 60 steps; the numbers are the output of Keras for its generator's input (384 x 2 layout, here 32 x 2).
FILE = Path(__file__).parents[1] / "data" / "keras_unet_small.h5"
NUMBERS = FILE.with_suffix(".npz")


def test_equals_keras():
    numbers = np.load(NUMBERS)
    net = read_keras_unet(FILE)
    traces = torch.from_numpy((numbers["traces"] - numbers["mean"]) / numbers["std"]).float().T[None]
    with torch.inference_mode():
        ours = net(traces)[0].T.numpy() * numbers["std"] + numbers["mean"]
    np.testing.assert_allclose(ours, numbers["expected"], atol=1e-5 * np.abs(numbers["expected"]).max())


def test_published_size():
    net = KerasUNet(KerasUNetConfig())
    assert net.num_parameters() == 5_253_057
    assert net.config.num_channels == 384
    assert net.config.context == 31


def test_never_sees_the_omitted_frames():
    net = read_keras_unet(FILE)
    traces = torch.randn(1, 32, 63 + 4)
    changed = traces.clone()
    changed[:, :, 33 - 1 : 33 + 2] += 10
    with torch.inference_mode():
        assert torch.equal(net(traces)[..., 2], net(changed)[..., 2])
        assert not torch.equal(net(traces)[..., 0], net(changed)[..., 0])


def test_filled_layout():
    net = read_keras_unet(FILE, num_channels=64)
    assert net(torch.randn(2, 64, 65)).shape == (2, 64, 3)


def test_other_channel_count_is_refused():
    with pytest.raises(ValueError, match="32 channels"):
        read_keras_unet(FILE, num_channels=48)


def test_pickles_are_refused(tmp_path):
    torch.save({"a": 1}, tmp_path / "model.h5")
    with pytest.raises(ValueError, match="not an HDF5 file"):
        read_keras_unet(tmp_path / "model.h5")


def test_foreign_and_damaged_files_are_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="not saved by Keras"):
        read_keras_unet(tmp_path / "other.h5")
    (tmp_path / "cut.h5").write_bytes(FILE.read_bytes()[:3000])
    with pytest.raises(ValueError, match="damaged"):
        read_keras_unet(tmp_path / "cut.h5")


def test_other_architecture_is_refused(tmp_path):
    content = FILE.read_bytes()
    (tmp_path / "edited.h5").write_bytes(content)
    with h5py.File(tmp_path / "edited.h5", "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace('"Conv2D"', '"Dense"', 1)
    with pytest.raises(ValueError, match="unet_single_ephys_1024"):
        read_keras_unet(tmp_path / "edited.h5")
