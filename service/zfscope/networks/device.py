"""What a network runs on."""

import torch

from zfscope.networks.network import Network


def on_device(network: Network, device: str) -> Network:
    """Move a network to `cpu` or `cuda`, and give it.

    On CUDA, torch lets convolutions read their numbers rounded to ten bits (TF32) unless it is told not to:
    scores and projections would differ from the CPU's by a thousandth. It is told so, for the whole process.
    """
    if device == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return network.to(device)
