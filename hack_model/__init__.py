"""A parametric model of the human head and neck: identity, expression, eight cervical joints, a larynx."""

from hack_model.asset import ModelAsset
from hack_model.clip import Clip
from hack_model.errors import AssetError, FormatError, HackError, MissingDependencyError, ParameterError
from hack_model.model import HACK, load
from hack_model.rig import Output, Rig

__all__ = [
    "HACK",
    "AssetError",
    "Clip",
    "FormatError",
    "HackError",
    "MissingDependencyError",
    "ModelAsset",
    "Output",
    "ParameterError",
    "Rig",
    "load",
]
