"""Train a small network on three digits and draw the picture on the book's first page.

    python -m tools.landing_picture _static/hero.webp

The features have two dimensions, so nothing is projected: each line is the way of one training image's feature from
the first step to the last. Full-batch gradient descent without momentum, so that the lines are smooth.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image

from ncbook import data, models
from ncbook.figures import phenomenon as drawings
from ncbook.training import CollapseProbe, Recipe, fit, spread_epochs

RECIPE = Recipe(epochs=4000, batch_size=420, learning_rate=0.1, momentum=0.0, weight_decay=2e-2, schedule="cosine")


def main(out: Path) -> None:
    digits = data.load("digits", classes=[0, 1, 2])
    model = models.mlp(digits.image_shape, 3, hidden=(128, 128), feature_dim=2)
    probe = CollapseProbe(digits.images, digits.labels, epochs=spread_epochs(RECIPE.epochs, 60), keep=True)
    history = fit(model, digits.images, digits.labels, RECIPE, callbacks=[probe])
    paths = torch.stack([layer.features for layer in probe.layers.values()])
    means = torch.stack([paths[-1, digits.labels == k].mean(dim=0) for k in range(3)])
    # A rotation of the plane (two dimensions in, two out) that puts class 0 at the top.
    basis = drawings.polygon_plane(means)
    figure = drawings.hero(paths @ basis, digits.labels, digits.class_names)
    raw = out.with_suffix(".png")
    figure.savefig(raw, dpi=220)
    Image.open(raw).convert("RGB").save(out, "WEBP", quality=84, method=6)
    raw.unlink()
    print(f"{out}: {out.stat().st_size // 1024} KB, NC1 at the end {history.last('nc1'):.0e}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "_static/hero.webp"))
