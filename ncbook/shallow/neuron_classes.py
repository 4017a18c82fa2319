"""What the neurons of a two-layer ReLU network have become: aligned with a class, shared, or dead.

Source: Min, Zhu and Vidal (2025), section 4; the cones are this book's (chapter 7).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ncbook import checks
from ncbook.shallow.limit import class_directions
from ncbook.shallow.network import ShallowReLU

DEAD, SHARED = -1, -2  # in `assignment`: active on no sample; active on samples of more than one class


def assignment(network: ShallowReLU, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return what each neuron is active on, (h,): a class, ``DEAD`` (-1, nothing) or ``SHARED`` (-2, several classes).

    Raises:
        ValueError: for a wrong shape.
    """
    on = checks.instance("network", network, ShallowReLU).features(inputs) > 0
    y = checks.labels("labels", labels, num_samples=len(on))
    active = torch.stack([on[y == k].any(dim=0) for k in range(int(y.max()) + 1)])
    one = active.sum(dim=0) == 1
    result = torch.where(one, active.double().argmax(dim=0), torch.full_like(one, SHARED, dtype=torch.long))
    return torch.where(active.any(dim=0), result, torch.full_like(result, DEAD))


def in_cone(network: ShallowReLU, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return which neurons are in an invariant cone (h,): active on one class only, which is their largest output.

    For a network of one output: active on one class only, on the side of its sign. Gradient flow on orthogonally
    separable data never leaves these cones (chapter 7).

    Raises:
        ValueError: for a wrong shape or a label without an output.
    """
    k = assignment(network, inputs, labels)
    V = network.V if len(network.V) > 1 else torch.cat([-network.V, network.V])
    checks.labels("labels", labels, num_classes=len(V))
    own = V.gather(0, k.clamp(min=0)[None])[0]
    return (k >= 0) & (own >= V.amax(dim=0))


def measured_limit(network: ShallowReLU, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Read directions (K, D), scales (K,) and classifier (K, K) or (1, 2) off a network.

    To be held against `predicted_limit`. With ``phi_k`` the class directions of its features and ``theta`` scaled
    to length 1: ``W' phi_k`` is ``scales[k] * directions[k]``, and the classifier is ``V phi'``.

    Raises:
        ValueError: for a wrong shape or a missing class.
    """
    unit = checks.instance("network", network, ShallowReLU).direction()
    phi = class_directions(unit.features(inputs), labels)
    along = phi @ unit.W.double()
    scales = along.norm(dim=1)
    return along / scales[:, None], scales, unit.V.double() @ phi.T
