"""The model store on disk: manifest, verified loading, writing."""

from zfscope.store.integrity import DamagedModel
from zfscope.store.manifest import Accuracy, Checkpoint, Label, Manifest, Provenance
from zfscope.store.store import Model, ModelStore
from zfscope.store.write import write_manifest, write_model

__all__ = [
    "Accuracy",
    "Checkpoint",
    "DamagedModel",
    "Label",
    "Manifest",
    "Model",
    "ModelStore",
    "Provenance",
    "write_manifest",
    "write_model",
]
