"""Methods that follow gradients from a baseline to the photo."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from zfscope.plugin import Model
from zfscope_captum.analysis import (
    BATCH,
    Attributed,
    BaselineParams,
    Call,
    CaptumAnalyzer,
    completeness,
    summed,
)
from zfscope_captum.seeds import seeded


class IntegratedGradientsParams(BaselineParams):
    """Class, baseline, and the steps of the integral."""

    steps: PositiveInt = Field(default=50, le=1000, description="Steps of the integral, 1 to 1,000.")
    method: Literal[
        "gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"
    ] = Field(default="gausslegendre", description="Rule of the integral, named as in Captum.")


class IntegratedGradients(CaptumAnalyzer[IntegratedGradientsParams]):
    """Integrated gradients (Sundararajan et al. 2017), from a baseline to the photo.

    Further numbers: `baseline_score`; `total`, the sum of `captum`; `completeness_gap`, `total` less the
    difference of the two scores, which goes to zero with more steps.
    """

    name = "captum-integrated-gradients"
    summary = "How much each pixel supports a class: gradients on the way from a baseline (Captum)"
    title = "Integrated gradients"
    params = IntegratedGradientsParams

    def cost(self, model: Model, params: IntegratedGradientsParams) -> int:
        """Return a forward and a backward pass for each step, and one each for photo and baseline."""
        return 2 * params.steps + 2

    def attribute(self, call: Call[IntegratedGradientsParams]) -> Attributed:
        """Call Captum."""
        from captum.attr import (
            IntegratedGradients as Method,
        )  # imported late: with matplotlib, it takes a second

        baseline = call.baseline()
        values = Method(call.module).attribute(
            call.images,
            baseline,
            target=call.target,
            n_steps=call.params.steps,
            method=call.params.method,
            internal_batch_size=BATCH,
        )
        return Attributed(values[0], summed(values), completeness(call, values, baseline))


class GradientShapParams(BaselineParams):
    """Class, baseline, and the samples between baseline and photo."""

    samples: PositiveInt = Field(
        default=16, le=64, description="Random points between baseline and photo, 1 to 64, all in one pass."
    )
    noise: NonNegativeFloat = Field(
        default=0.0,
        description="Standard deviation of the noise added to the photo, in units of the network's input.",
    )
    seed: NonNegativeInt = Field(default=0, lt=2**32, description="Seed of points and noise.")


class GradientShap(CaptumAnalyzer[GradientShapParams]):
    """Expected gradients (GradientShap; Erion et al. 2021): integrated gradients at random points.

    Further numbers: as integrated gradients; the gap shrinks with the number of samples. Calls of this method
    and of KernelShap run one after the other, since Captum draws from torch's and numpy's global generators.
    """

    name = "captum-gradient-shap"
    summary = "How much each pixel supports a class: gradients at random points from a baseline (Captum)"
    title = "GradientShap"
    params = GradientShapParams

    def cost(self, model: Model, params: GradientShapParams) -> int:
        """Return a forward and a backward pass for each sample, and one each for photo and baseline."""
        return 2 * params.samples + 2

    def attribute(self, call: Call[GradientShapParams]) -> Attributed:
        """Call Captum."""
        from captum.attr import GradientShap as Method

        baseline = call.baseline()
        with seeded(call.params.seed):
            values = Method(call.module).attribute(
                call.images,
                baseline,
                n_samples=call.params.samples,
                stdevs=call.params.noise,
                target=call.target,
            )
        return Attributed(values[0], summed(values), completeness(call, values, baseline))


class DeepLift(CaptumAnalyzer[BaselineParams]):
    """DeepLift with the rescale rule (Shrikumar et al. 2017).

    Further numbers: as integrated gradients. The gap is zero only in networks of linear layers, activations
    that Captum has rules for, and pooling without overlaps: through other layers, such as local response
    normalisation, Captum takes gradients, and of overlapping windows of max pooling it counts one.
    """

    name = "captum-deep-lift"
    summary = "How much each pixel supports a class: differences to a baseline, layer by layer (Captum)"
    title = "DeepLift"
    params = BaselineParams

    def cost(self, model: Model, params: BaselineParams) -> int:
        """Return a forward and a backward pass of photo and baseline, and a forward pass of each."""
        return 6

    def attribute(self, call: Call[BaselineParams]) -> Attributed:
        """Call Captum."""
        from captum.attr import DeepLift as Method

        baseline = call.baseline()
        values = Method(call.module).attribute(call.images, baseline, target=call.target).detach()
        return Attributed(values[0], summed(values), completeness(call, values, baseline))
