"""The model card: description, measurements and limits of a trained model (Mitchell et al. 2019)."""

from collections.abc import Mapping, Sequence

from zfscope.store import Manifest


def model_card(manifest: Manifest, history: Sequence[Mapping[str, float]], checkpoints: Sequence[int]) -> str:
    """Return the model card of a model as Markdown.

    history: one row per epoch. checkpoints: epochs with a checkpoint. Information that only the trainer has
    (further limits, the licence of the data) needs to be added by hand.
    """
    provenance, last = manifest.provenance, history[-1]
    labels = ", ".join(label.name for label in manifest.labels)
    return "\n".join(
        [
            f"# {manifest.name}, version {manifest.version}\n",
            f"{manifest.summary}.\n",
            "## Data\n",
            f"{provenance.data}; {len(manifest.labels)} classes: {labels}.\n",
            f"Licence of the data: {provenance.data_licence or 'not stated'}.\n",
            "## Training\n",
            *([f"Started from {provenance.tuned_from}.\n"] if provenance.tuned_from else []),
            *([f"Taught by {provenance.taught_by}.\n"] if provenance.taught_by else []),
            f"`zfscope train`, recipe `{provenance.recipe}`, {provenance.epochs} epochs, "
            f"finished on {provenance.date}; metrics of every epoch are in `history.json`, curves in "
            "`history.png`.\n",
            f"Checkpoints of the convolutional layers: epochs {', '.join(map(str, checkpoints))}.\n",
            "## Measurements\n",
            f"{_accuracy(manifest)}\n",
            f"First-layer filters: median roughness {last['roughness']:.2f} (white noise: 1); "
            f"{last['lost_filters']:.1f} % are dead or noise.\n",
            "## Limits\n",
            "The model has only these classes: a photo of anything else is still assigned to one of them.\n",
            *([f"Licence of the weights: {provenance.licence}.\n"] if provenance.licence else []),
        ]
    )


def _accuracy(manifest: Manifest) -> str:
    accuracy = manifest.accuracy
    if accuracy is None:
        return "Accuracy was not measured: no validation photos were given."
    text = (
        f"On {accuracy.images:,} photos of {accuracy.data}: top-1 {accuracy.top1:.1f} %, "
        f"top-5 {accuracy.top5:.1f} %"
    )
    if accuracy.ten_crop_top1 is not None:
        text += f"; mean of ten crops {accuracy.ten_crop_top1:.1f} % and {accuracy.ten_crop_top5:.1f} %"
    if accuracy.trained_on:
        text += (
            f". {accuracy.trained_on:,} of these photos are also training photos (by file hash): "
            "the accuracy on new photos is lower"
        )
    return f"{text}."
