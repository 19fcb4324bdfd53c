"""
Weights of networks: all code that saves, loads, lists or publishes them.

A model is a folder: `config.json` (what it is and where it comes from), `model.safetensors` (the weights) and
`README.md` (the card). Nothing is loaded that is not exactly what the config says: sha256, names and shapes of all
tensors are checked, and no pickle is ever read. The same call takes the name of a bundled model, a folder, or a
repository on the Hugging Face Hub.
"""

from .cards import render_card
from .catalogue import list_models
from .hub import pull
from .load import (
    LocatedModel,
    describe_model,
    find_model_folder,
    load_model,
    load_network,
    locate_model,
    pin_model,
    verify,
)
from .model_folder import CARD_FILE, CONFIG_FILE, FORMAT_VERSION, WEIGHTS_FILE, ModelInfo, save_model
from .names import BUNDLED_FOLDER, REGISTRY
from .provenance import model_provenance, parent_reference
from .publish import push_all, push_to_hub

__all__ = [
    "BUNDLED_FOLDER",
    "CARD_FILE",
    "CONFIG_FILE",
    "FORMAT_VERSION",
    "REGISTRY",
    "WEIGHTS_FILE",
    "LocatedModel",
    "ModelInfo",
    "describe_model",
    "find_model_folder",
    "list_models",
    "load_model",
    "load_network",
    "locate_model",
    "model_provenance",
    "parent_reference",
    "pin_model",
    "pull",
    "push_all",
    "push_to_hub",
    "render_card",
    "save_model",
    "verify",
]
