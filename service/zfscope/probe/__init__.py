"""Linear probes: the accuracy of a linear classifier of a data set's classes by each layer's features.

model = open_store().load("zfnet-imagenette")
plan = plan_probe(per_class=(15, 30), test_per_class=10)
result = probe_layers(model, open_data(Path("photos")), Path("probed"), plan)
"""

from zfscope.datasets import open_data
from zfscope.probe.build import ProbeStage, probe_layers
from zfscope.probe.features import open_features
from zfscope.probe.manifest import FeatureManifest, LayerAccuracy, ProbeResult, read_probe
from zfscope.probe.plan import ProbePlan, plan_probe

__all__ = [
    "FeatureManifest",
    "LayerAccuracy",
    "ProbePlan",
    "ProbeResult",
    "ProbeStage",
    "open_data",
    "open_features",
    "plan_probe",
    "probe_layers",
    "read_probe",
]
