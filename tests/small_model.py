"""A small model to publish on the loopback hub."""

import torch
from loopback_hub import WRITE_TOKEN

from si_deepsort.nets import network_class
from si_deepsort.zoo import ModelInfo, push_to_hub

INFO = ModelInfo(
    name="our-probe",
    task="embedding",
    metrics={"error": 0.25},
    training={"command": "train", "seed": 1, "data": "generated recordings", "data_license": "MIT"},
)


def make_net(seed=0):
    torch.manual_seed(seed)
    net_class = network_class("autoencoder")
    return net_class(net_class.example_config())


def publish(hub, seed=0, tag=None, repo_id="lab/our-probe", private=None):
    return push_to_hub(
        make_net(seed), repo_id, info=INFO, tag=tag, private=private, token=WRITE_TOKEN, endpoint=hub.endpoint
    )


def same_weights(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)
