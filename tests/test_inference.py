"""Batches do not change the output of a network; devices are chosen or refused."""

import numpy as np
import pytest
import torch

from si_deepsort.inference import choose_device, predict_in_batches


@pytest.mark.parametrize("batch_size", [1, 3, 10, 100])
def test_the_result_does_not_depend_on_the_batches(batch_size):
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 2).eval()
    inputs = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
    with torch.inference_mode():
        expected = net(torch.from_numpy(inputs)).numpy()
    found = predict_in_batches(net, inputs, batch_size=batch_size)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32


def test_no_input_gives_an_output_of_the_right_shape():
    assert predict_in_batches(torch.nn.Linear(4, 2), np.zeros((0, 4), dtype="float32")).shape == (0, 2)


def test_inputs_in_any_memory_layout():
    net = torch.nn.Identity()
    inputs = np.arange(24, dtype="float32").reshape(4, 6)[::-1, ::2]
    np.testing.assert_array_equal(predict_in_batches(net, inputs, batch_size=3), inputs)


def test_a_batch_that_does_not_fit_is_halved(caplog):
    class Greedy(torch.nn.Module):
        def forward(self, batch):
            if len(batch) > 3:
                raise torch.cuda.OutOfMemoryError("out of memory")
            return 2 * batch

    inputs = np.arange(20, dtype="float32")[:, None]
    np.testing.assert_array_equal(predict_in_batches(Greedy(), inputs, batch_size=16), 2 * inputs)
    assert "halved" in caplog.text


def test_a_single_input_that_does_not_fit_is_an_error():
    class Insatiable(torch.nn.Module):
        def forward(self, batch):
            raise torch.cuda.OutOfMemoryError("out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        predict_in_batches(Insatiable(), np.zeros((4, 1), dtype="float32"), batch_size=4)


def test_the_device_is_chosen_or_refused():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cuda", "mps", "cpu")
    for missing in ["tpu", "", "gpu", *([] if torch.cuda.is_available() else ["cuda", "cuda:3"])]:
        with pytest.raises(ValueError, match="expected 'auto' or one of"):
            choose_device(missing)
