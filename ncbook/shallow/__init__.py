"""Two-layer ReLU networks: their gradient flow, its predicted limit, their kernels at the start, and data for both."""

from ncbook.shallow.gradient_flows import Flow, gradient_flow, loss_and_gradient, stochastic_gradient_descent
from ncbook.shallow.kernels import kernel_trace_quotient, nngp_kernel, tangent_kernel
from ncbook.shallow.limit import Collapse, Limit, class_directions, collapse, max_margin, predicted_limit, pseudo_labels
from ncbook.shallow.mixtures import Mixture
from ncbook.shallow.network import ShallowReLU
from ncbook.shallow.neuron_classes import DEAD, SHARED, assignment, in_cone, measured_limit
from ncbook.shallow.separable_data import (
    Separability,
    Violations,
    centred,
    orthogonal_data,
    planar_data,
    separability,
    separable_subset,
    violations,
)

__all__ = [
    "DEAD",
    "SHARED",
    "Collapse",
    "Flow",
    "Limit",
    "Mixture",
    "Separability",
    "ShallowReLU",
    "Violations",
    "assignment",
    "centred",
    "class_directions",
    "collapse",
    "gradient_flow",
    "in_cone",
    "kernel_trace_quotient",
    "loss_and_gradient",
    "max_margin",
    "measured_limit",
    "nngp_kernel",
    "orthogonal_data",
    "planar_data",
    "predicted_limit",
    "pseudo_labels",
    "separability",
    "separable_subset",
    "stochastic_gradient_descent",
    "tangent_kernel",
    "violations",
]
