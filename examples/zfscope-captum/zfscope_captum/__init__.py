"""Attribution methods of Captum as analyzers for ZFScope: how much each pixel of a photo supports a class."""

from zfscope_captum.features import FeatureAblation, KernelShap
from zfscope_captum.gradients import DeepLift, GradientShap, IntegratedGradients
from zfscope_captum.maps import GuidedGradCam, LayerGradCam
from zfscope_captum.module import CaptumModule

__all__ = [
    "CaptumModule",
    "DeepLift",
    "FeatureAblation",
    "GradientShap",
    "GuidedGradCam",
    "IntegratedGradients",
    "KernelShap",
    "LayerGradCam",
]
