"""The unconstrained feature model: its optimum, solver, proof, certificate, curvature, saddles and census."""

from ncbook._landscape import Escape
from ncbook.ufm.census import Census, critical_points
from ncbook.ufm.certificates import Certificate, certificate
from ncbook.ufm.closed_forms import Optimum
from ncbook.ufm.curvature import hessian, hessian_vector_product, smallest_curvature
from ncbook.ufm.data_optimum import DataOptimum, data_optimum
from ncbook.ufm.descent import Descent, descend
from ncbook.ufm.enclosures import ExactCertificate, exact_certificate
from ncbook.ufm.escape import block_eigenvalue, escape_direction
from ncbook.ufm.formulas import Point
from ncbook.ufm.gap_budgets import GapBudget, gap_budget, mean_margins
from ncbook.ufm.local_minima import LocalMinimum, prove_local_minimum
from ncbook.ufm.losses import CrossEntropy, Focal, LabelSmoothing, Loss, SquaredError
from ncbook.ufm.margins import BestMargin, best_margin, loss_of_margin
from ncbook.ufm.model import UFM, Solution
from ncbook.ufm.points import pack, unpack
from ncbook.ufm.proof_steps import Chain, inequality_chain
from ncbook.ufm.saddles import superclass_saddle
from ncbook.ufm.trained_layer import layer_problem

__all__ = [
    "UFM",
    "BestMargin",
    "Census",
    "Certificate",
    "Chain",
    "CrossEntropy",
    "DataOptimum",
    "Descent",
    "Escape",
    "ExactCertificate",
    "Focal",
    "GapBudget",
    "LabelSmoothing",
    "LocalMinimum",
    "Loss",
    "Optimum",
    "Point",
    "Solution",
    "SquaredError",
    "best_margin",
    "block_eigenvalue",
    "certificate",
    "critical_points",
    "data_optimum",
    "descend",
    "escape_direction",
    "exact_certificate",
    "gap_budget",
    "hessian",
    "hessian_vector_product",
    "inequality_chain",
    "layer_problem",
    "loss_of_margin",
    "mean_margins",
    "pack",
    "prove_local_minimum",
    "smallest_curvature",
    "superclass_saddle",
    "unpack",
]
