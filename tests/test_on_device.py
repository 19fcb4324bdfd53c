"""Which device is taken, in which precision it multiplies, and what follows when it fails."""

import copy
import threading

import numpy as np
import pytest
import torch

from si_deepsort.on_device import _REMEMBERED, MOST_PARTS, DeviceStep, device_for, full_precision, real_transform_back

CPU = torch.device("cpu")


def precisions():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


def test_compiled_code_and_its_test():
    assert device_for("cpu") is None and device_for("torch-cpu") == CPU


@pytest.mark.parametrize("is_there", [False, True])
def test_auto_takes_cuda_if_there_is_one(monkeypatch, is_there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(is_there))
    assert device_for("auto") == (torch.device("cuda") if is_there else None)


@pytest.mark.parametrize("name", ["cuda:7", "tpu"])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_device_that_is_not_there_is_refused(monkeypatch, name, is_there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 * is_there)
    with pytest.raises(ValueError, match=f"'{name}' is not available here"):
        device_for(name)


def test_products_are_exact_and_the_process_stays_as_it_was():
    before = precisions()
    torch.set_float32_matmul_precision("high")
    try:
        wanted = precisions()
        with full_precision(), full_precision():
            inside = [getattr(torch.backends.cuda.matmul, "fp32_precision", "ieee")]
            inside.append(getattr(torch.backends.cudnn, "conv", torch.backends.cuda.matmul).fp32_precision)
        assert inside == ["ieee", "ieee"] and precisions() == wanted
    finally:
        torch.set_float32_matmul_precision(before[0])
    assert precisions() == before


def test_threads_that_end_in_any_order_restore_the_precision():
    before, first_ends, second_began = precisions(), threading.Event(), threading.Event()

    def first():
        with full_precision():
            second_began.wait(10)
        first_ends.set()

    thread = threading.Thread(target=first)
    thread.start()
    with full_precision():
        second_began.set()
        first_ends.wait(10)
    thread.join()
    assert precisions() == before


def test_an_error_of_the_input_is_no_failure_of_the_device():
    step = DeviceStep("counting", CPU)
    with pytest.raises(ValueError, match="bad traces"):
        step.run(lambda: (_ for _ in ()).throw(ValueError("bad traces")), lambda: "CPU")
    assert not step.has_failed


def test_memory_runs_out_until_parts_are_small(caplog):
    step = DeviceStep("counting", CPU)

    def counted():
        if step.num_parts < 8:
            raise torch.OutOfMemoryError("too much")
        return [part.stop - part.start for part in step.parts(17)]

    assert step.run(counted, lambda: "CPU") == [3, 3, 3, 3, 3, 2]
    assert len(caplog.records) == 3 and not step.has_failed


def test_memory_never_suffices(caplog):
    step = DeviceStep("counting", CPU)

    def failing():
        raise torch.OutOfMemoryError("too much")

    assert step.run(failing, lambda: "CPU") == "CPU"
    assert step.has_failed and step.num_parts > MOST_PARTS and "counting continues on the CPU" in caplog.text
    assert not copy.copy(step).has_failed, "another process may have more memory"


def test_slices_cover_everything():
    step = DeviceStep("counting", CPU)
    for step.num_parts in (1, 3, 64):
        for length in (0, 1, 10, 64, 65):
            assert np.array_equal(
                np.concatenate([np.arange(length)[s] for s in [slice(0), *step.parts(length)]]), np.arange(length)
            )


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float64", "float16", ">i2", "bool"])
def test_numbers_arrive_as_they_are(dtype):
    array = np.array([[0, 1], [1, 100 if dtype != "bool" else 1]], dtype=dtype)
    array.flags.writeable = False
    sent = DeviceStep("sending", CPU).send(array[::-1])
    assert sent.dtype == torch.float32
    np.testing.assert_array_equal(sent.numpy(), array[::-1].astype("float32"))


@pytest.mark.parametrize("size", [9, 10])
def test_transform_back_ignores_what_real_numbers_cannot_show(size):
    spectra = torch.randn(3, size // 2 + 1, dtype=torch.complex64)
    spectra[:, 0] = spectra[:, 0].real
    expected = np.fft.irfft(spectra.numpy(), size)
    np.testing.assert_allclose(real_transform_back(spectra.clone(), size).numpy(), expected, atol=1e-6)


def test_what_came_from_the_device_is_not_sent_again():
    step, array = DeviceStep("sending", CPU), np.arange(6.0, dtype="float32")
    there = torch.arange(6, dtype=torch.float16) + 10  # other numbers, so that they are told apart
    step.remember(array, there)
    np.testing.assert_array_equal(step.send(array).numpy(), np.arange(10.0, 16.0))
    np.testing.assert_array_equal(step.send(array.copy()).numpy(), array)
    np.testing.assert_array_equal(step.send(array[:3]).numpy(), array[:3])
    num_before = len(_REMEMBERED)
    del array
    assert len(_REMEMBERED) == num_before - 1, "the memory on the device is free again"
