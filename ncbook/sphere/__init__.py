"""Normalised features: the problem on a product of spheres, its geometry, certificate, curvature, critical points."""

from ncbook.sphere.census import SphereCriticalPoint, critical_point, stranded_point
from ncbook.sphere.certificates import SphereCertificate, certificate, radial_gradient
from ncbook.sphere.curvature import curvatures, hessian, tangent_basis
from ncbook.sphere.enclosures import ExactBound, exact_lower_bound
from ncbook.sphere.escape import Escape, escape_direction, unused_direction
from ncbook.sphere.geometry import geodesic, project, retract
from ncbook.sphere.model import SphericalOptimum, SphericalPath, SphericalSolution, SphericalUFM, temperature_for

__all__ = [
    "Escape",
    "ExactBound",
    "SphereCertificate",
    "SphereCriticalPoint",
    "SphericalOptimum",
    "SphericalPath",
    "SphericalSolution",
    "SphericalUFM",
    "certificate",
    "critical_point",
    "curvatures",
    "escape_direction",
    "exact_lower_bound",
    "geodesic",
    "hessian",
    "project",
    "radial_gradient",
    "retract",
    "stranded_point",
    "tangent_basis",
    "temperature_for",
    "unused_direction",
]
