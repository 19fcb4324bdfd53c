"""Denoising autoencoder: channels are a set, and before training it is a projection."""

import numpy as np
import torch

from si_deepsort.nets.denoising_autoencoder import DenoisingAutoencoder, DenoisingAutoencoderConfig


def random_net():
    torch.manual_seed(0)
    net = DenoisingAutoencoder(DenoisingAutoencoderConfig()).eval()
    with torch.no_grad():
        net.correct[-1].weight.normal_()
    return net


def test_order_and_number_of_missing_channels_do_not_matter():
    net, (waveforms, distances_um) = random_net(), DenoisingAutoencoder(DenoisingAutoencoderConfig()).example_input()
    codes = net.encode(waveforms, distances_um)
    order = [2, 0, 3, 1]
    reordered = net.encode(waveforms[:, order], distances_um[:, order])
    torch.testing.assert_close(reordered, codes[:, order], rtol=1e-4, atol=1e-4)
    fewer = net.encode(waveforms[:, :3], distances_um[:, :3])
    torch.testing.assert_close(fewer, codes[:, :3], rtol=1e-4, atol=1e-4)


def test_before_training_it_is_the_projection_on_its_directions():
    net = DenoisingAutoencoder(DenoisingAutoencoderConfig()).eval()
    waveforms, distances_um = net.example_input()
    inner = waveforms[..., net.config.margin : -net.config.margin]
    torch.testing.assert_close(net(waveforms, distances_um), inner @ net.directions.T @ net.directions)


def test_distances_of_codes_are_distances_of_rebuilt_waveforms():
    net = random_net()
    codes = net.encode(*net.example_input(batch_size=6))
    rebuilt = net.decode(codes)
    between_codes = (codes[:3] - codes[3:]).detach().numpy()
    between_waveforms = (rebuilt[:3] - rebuilt[3:]).detach().numpy()
    np.testing.assert_allclose(
        np.linalg.norm(between_codes, axis=2), np.linalg.norm(between_waveforms, axis=2), rtol=1e-3
    )
