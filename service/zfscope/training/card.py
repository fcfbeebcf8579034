"""The model card: what a trained model is and what it is good for, in words (Mitchell et al. 2019)."""

from collections.abc import Mapping, Sequence

from zfscope.store import Manifest


def model_card(manifest: Manifest, history: Sequence[Mapping[str, float]], checkpoints: Sequence[int]) -> str:
    """Write the card of a model as Markdown, from its manifest and a row of history per epoch.

    checkpoints: the epochs after which the conv layers were kept. What only the trainer knows (more
    limits, the licence of the data) is to be written into it by hand.
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
            f"`zfscope train`, recipe `{provenance.recipe}`, {provenance.epochs} epochs, "
            f"finished {provenance.date}; every epoch is in `history.json`, the curves in `history.png`.\n",
            f"Checkpoints of the conv layers: epochs {', '.join(map(str, checkpoints))}.\n",
            "## Measured\n",
            f"{_accuracy(manifest)}\n",
            f"First-layer filters: median roughness {last['roughness']:.2f} (white noise 1), "
            f"{last['lost_filters']:.1f} % dead or noise.\n",
            "## Limits\n",
            "It knows its classes and nothing else: whatever else a photo shows, it is given one of them.\n",
        ]
    )


def _accuracy(manifest: Manifest) -> str:
    found = manifest.accuracy
    if found is None:
        return "No accuracy was measured: there were no validation photos."
    words = f"On {found.images:,} photos of {found.data}: top-1 {found.top1:.1f} %, top-5 {found.top5:.1f} %"
    if found.ten_crop_top1 is not None:
        words += f"; mean of ten crops {found.ten_crop_top1:.1f} % and {found.ten_crop_top5:.1f} %"
    if found.trained_on:
        words += (
            f". {found.trained_on:,} of these photos are training photos too, by the hash of their files: "
            "the accuracy on new photos is lower"
        )
    return f"{words}."
