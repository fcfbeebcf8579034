"""The model store on disk: manifest, verified loading, writing."""

from zfscope.store.manifest import Checkpoint, Label, Manifest, Provenance, RecordedAccuracy
from zfscope.store.open import open_store
from zfscope.store.store import Model, ModelStore, StoredModel, opaque_reason, require_layers
from zfscope.store.survey import DamagedEntry
from zfscope.store.weights import Weights
from zfscope.store.write import write_manifest, write_model

__all__ = [
    "Checkpoint",
    "DamagedEntry",
    "Label",
    "Manifest",
    "Model",
    "ModelStore",
    "Provenance",
    "RecordedAccuracy",
    "StoredModel",
    "Weights",
    "opaque_reason",
    "open_store",
    "require_layers",
    "write_manifest",
    "write_model",
]
