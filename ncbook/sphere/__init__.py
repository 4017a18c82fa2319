"""Normalised features: the problem on a product of spheres, in the words of `ufm`, and the spheres' geometry."""

from ncbook._landscape import Escape
from ncbook.sphere.census import Census, critical_points, stranded_point
from ncbook.sphere.certificates import Certificate, certificate, radial_gradient
from ncbook.sphere.curvature import hessian, hessian_vector_product, smallest_curvature, tangent_basis
from ncbook.sphere.descent import Descent, descend
from ncbook.sphere.enclosures import ExactBound, exact_lower_bound
from ncbook.sphere.escape import escape_direction, unused_direction
from ncbook.sphere.formulas import Point
from ncbook.sphere.geometry import geodesic, project, retract
from ncbook.sphere.model import Optimum, Solution, SphericalUFM, temperature_for

__all__ = [
    "Census",
    "Certificate",
    "Descent",
    "Escape",
    "ExactBound",
    "Optimum",
    "Point",
    "Solution",
    "SphericalUFM",
    "certificate",
    "critical_points",
    "descend",
    "escape_direction",
    "exact_lower_bound",
    "geodesic",
    "hessian",
    "hessian_vector_product",
    "project",
    "radial_gradient",
    "retract",
    "smallest_curvature",
    "stranded_point",
    "tangent_basis",
    "temperature_for",
    "unused_direction",
]
