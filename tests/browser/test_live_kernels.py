"""The numerical kernels of the live experiments agree with the package to 1e-9."""

import math

import pytest
import torch
from scipy.special import lambertw
from scipy.stats import norm

from ncbook import etf, metrics, shallow, sphere, ufm
from ncbook.deep import DeepUFM, shape_vectors


def test_free_feature_kernels_agree_with_the_package(show):
    page = show("freefeatures")
    for seed, (K, n, decay_w, decay_h) in enumerate([(2, 3, 0.02, 0.01), (3, 4, 0.1, 0.001), (5, 2, 0.3, 0.3)]):
        W, H, b = ufm.UFM(K, n, 2, decay_w, decay_h).random_point(seed)
        value, gradient, best, pieces = page.evaluate(
            "([W, H, w, h]) => { const k = ncLive.kernels.freefeatures; return [k.objective(W, H, w, h),"
            " k.gradient(W, H, w, h), k.optimum(W.length, H.length / W.length, w, h), k.budget(W, H, w, h)]; }",
            [W.tolist(), H.tolist(), decay_w, decay_h],
        )
        problem, zero = ufm.UFM(K, n, 2, decay_w, decay_h), torch.zeros_like(b)
        assert value == pytest.approx(float(problem.objective(W, H, zero)), abs=1e-9)
        for found, expected in zip(gradient, problem.gradient(W, H, zero)):
            assert float((torch.tensor(found, dtype=torch.float64) - expected).abs().max()) < 1e-9
        roomy = ufm.UFM(K, n, K, decay_w, decay_h).optimum()
        assert [best["value"], best["margin"]] == pytest.approx([roomy.value, roomy.margin], abs=1e-9)
        assert best["row"] ** 2 == pytest.approx(float(roomy.W[0].square().sum()), abs=1e-9)
        budget = ufm.gap_budget(problem, W, H, zero)
        wanted = [getattr(budget, p) for p in ("others", "margins", "collapse", "alignment", "balance", "length")]
        assert pieces == pytest.approx(wanted, abs=1e-9)


def test_neuron_kernels_agree_with_the_package(show):
    page = show("neurons")
    X, y = shallow.planar_data(3, 4, 12.0)
    for seed, scale in enumerate([1e-4, 1.0, 3.0]):
        net = shallow.ShallowReLU.random(10, 2, 3, scale=scale, seed=seed)
        value, gW, gV = page.evaluate(
            "([W, V, X, y]) => ncLive.kernels.neurons.lossAndGradient(W, V, X, y)",
            [net.W.tolist(), net.V.tolist(), X.tolist(), y.tolist()],
        )
        expected, dW, dV = shallow.loss_and_gradient(net, X, y)
        assert value == pytest.approx(expected, abs=1e-9)
        for found, wanted in ((gW, dW), (gV, dV)):
            assert float((torch.tensor(found, dtype=torch.float64) - wanted).abs().max()) < 1e-9
        whose = page.evaluate(
            "([W, X, y]) => ncLive.kernels.neurons.assignment(W, X, y)", [net.W.tolist(), X.tolist(), y.tolist()]
        )
        assert whose == shallow.assignment(net, X, y).tolist()


def test_saddle_kernels_agree_with_automatic_differentiation(show):
    page = show("saddle")
    for w, h, decay in [(-1.6, 1.7, 0.1), (0.0, 0.0, 0.3), (2.5, -0.4, 0.02), (3.0, 3.0, 0.6)]:
        f = lambda x: torch.log1p(torch.exp(-x[0] * x[1])) + decay / 2 * x.square().sum()  # noqa: B023
        point = torch.tensor([w, h], dtype=torch.float64)
        value, gradient, bend, least = page.evaluate(
            "([w, h, decay]) => { const k = ncLive.kernels.saddle; return [k.value(w, h, decay),"
            " k.gradient(w, h, decay), k.curvature(w, h, decay), k.minimum(decay)]; }",
            [w, h, decay],
        )
        hessian = torch.func.hessian(f)(point)
        assert value == pytest.approx(float(f(point)), abs=1e-9)
        assert gradient == pytest.approx(torch.func.grad(f)(point).tolist(), abs=1e-9)
        assert [bend["low"], bend["high"]] == pytest.approx(torch.linalg.eigvalsh(hessian).tolist(), abs=1e-9)
        direction = torch.tensor(bend["direction"], dtype=torch.float64)
        assert float((hessian @ direction - bend["low"] * direction).abs().max()) < 1e-9
        root = torch.full((2,), least["s"] ** 0.5, dtype=torch.float64)
        assert least["value"] == pytest.approx(float(f(root)), abs=1e-9)
        assert float(torch.func.grad(f)(root).abs().max()) < 1e-9


def random_rows(count, d, seed):
    rows = torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows / rows.norm(dim=1, keepdim=True)


def test_simplex_kernels_agree_with_the_package(show):
    page = show("simplex")
    for seed, (K, d) in enumerate([(2, 2), (3, 2), (5, 3), (8, 3)]):
        W = random_rows(K, d, seed)
        found = page.evaluate(
            "([W, d]) => { const k = ncLive.kernels.simplex; return [k.coherence(W), k.largestCosine(W),"
            " k.etfDistance(W), k.welchBound(W.length, d), k.simplexBound(W.length, d)]; }",
            [W.tolist(), d],
        )
        expected = [etf.coherence(W), etf.largest_cosine(W), etf.etf_distance(W), etf.welch_bound(K, d)]
        assert found == pytest.approx([*expected, etf.simplex_bound(K, d)], abs=1e-9)
    frame = torch.tensor(page.evaluate("ncLive.kernels.simplex.simplex(5, 4)"), dtype=torch.float64)
    assert float((frame - etf.simplex_etf(5, 4)).abs().max()) < 1e-12


def test_sphere_kernels_agree_with_the_package(show):
    page = show("sphere")
    for seed, (K, d, n, tau) in enumerate([(2, 2, 3, 0.5), (3, 2, 3, 12.0), (6, 3, 2, 20.0)]):
        W, H = random_rows(K, d, seed), random_rows(K * n, d, seed + 50)
        value, bound, (gW, gH) = page.evaluate(
            "([W, H, tau]) => { const k = ncLive.kernels.sphere;"
            " return [k.objective(W, H, tau), k.lowerBound(W.length, tau), k.gradient(W, H, tau)]; }",
            [W.tolist(), H.tolist(), tau],
        )
        problem = sphere.SphericalUFM(K, n, d, tau)
        assert value == pytest.approx(float(problem.objective(W, H)), abs=1e-9)
        assert bound == pytest.approx(problem.lower_bound(), rel=1e-9)
        for found, expected in zip((gW, gH), problem.gradient(W, H)):
            assert float((torch.tensor(found, dtype=torch.float64) - expected).abs().max()) < 1e-9


def blocks(name, size, count):
    return torch.block_diag(*[shape_vectors(name, size)] * count)


def test_race_kernels_agree_with_the_package(show):
    page = show("race")
    for K, n, decay, L in [(6, 1, 1e-3, 2), (10, 3, 1e-4, 3), (12, 1, 1e-3, 5), (12, 2, 0.3, 4), (9, 1, 2e-3, 12)]:
        shapes = {"simplex ETF": shape_vectors("simplex ETF", K), "circle": shape_vectors("circle", K)}
        if K % 2 == 0:
            shapes |= {"orthoplex": shape_vectors("orthoplex", K), "two polygons": blocks("circle", K // 2, 2)}
        if K % 3 == 0:
            shapes["triangles"] = blocks("simplex ETF", 3, K // 3)
        found = page.evaluate(
            "([names, K, L, decay, n]) => { const k = ncLive.kernels.race;"
            " return names.map(name => k.best(k.shape(name, K), K, L, decay, n)); }",
            [list(shapes), K, L, decay, n],
        )
        model = DeepUFM(K, n, K, decay, L)
        for (name, vectors), mine in zip(shapes.items(), found):
            best = model.best_scale(vectors, name)
            assert mine["value"] == pytest.approx(best.value, abs=1e-9), (name, K, L)
            assert mine["rank"] == best.rank
            assert mine["scale"] == pytest.approx(best.scale, rel=1e-4)  # flat there: the value knows the scale by half
    lacking = page.evaluate("['triangles', 'orthoplex', 'two polygons'].map(n => ncLive.kernels.race.shape(n, 7))")
    assert lacking == [None] * 3


def test_price_kernels_agree_with_the_package(show):
    page = show("formulas price")
    for K, q in [(2, 1e-3), (4, 0.025), (10, 0.0999), (10, 0.1), (100, 0.3), (3, 1e-9)]:
        margin, loss, worth = page.evaluate(
            "([K, q]) => { const k = ncLive.kernels.formulas, s = k.margin(K, q);"
            " return [s, k.loss(s, K), k.worth(K, s)]; }",
            [K, q],
        )
        best = ufm.best_margin(K, q)
        assert [margin, loss + best.price * margin] == pytest.approx([best.margin, best.value], abs=1e-9)
        assert loss == pytest.approx(float(ufm.loss_of_margin(torch.tensor(margin, dtype=torch.float64), K)), abs=1e-9)
        assert worth == pytest.approx(min(q, 1 / K), abs=1e-9)  # the price at which this margin is best


def test_temperature_kernels_agree_with_the_package(show):
    page = show("formulas temperature")
    for K, tau in [(2, 0.3), (3, 1.0), (10, 5.0), (1000, 12.0), (5, 20.0)]:
        best, wrong, peak = page.evaluate(
            "([K, tau]) => { const k = ncLive.kernels.formulas; return [k.best(K, tau), k.wrong(K, tau), k.peak(K)]; }",
            [K, tau],
        )
        problem = sphere.SphericalUFM(K, 1, K, tau)
        assert best == pytest.approx(problem.optimum().probability, abs=1e-9)
        assert wrong == pytest.approx(best * math.exp(-problem.margin), rel=1e-9)
        x = K * peak / (K - 1)  # (x - 1) e^x = K - 1
        assert x == pytest.approx(1 + lambertw((K - 1) / math.e).real, abs=1e-9)
        curvature = lambda t: t * math.exp(-sphere.SphericalUFM(K, 1, K, t).lower_bound() - K * t / (K - 1))  # noqa: B023
        assert curvature(peak) > max(curvature(0.99 * peak), curvature(1.01 * peak))


def test_overlap_kernels_agree_with_what_is_measured(show):
    """Means of a simplex ETF and, in every class, one sample a step along each axis and one against it."""
    page = show("formulas overlap")
    for K, step in [(2, 0.4), (3, 1.0), (10, 0.3)]:
        means, noise = etf.simplex_etf(K, K), step * torch.eye(K, dtype=torch.float64)
        features = torch.cat([mean + side * noise for mean in means for side in (1, -1)])
        labels = torch.arange(K).repeat_interleave(2 * K)
        nc1 = metrics.neural_collapse(features, labels).nc1
        deviation = step / math.sqrt(K)  # each axis holds 2 of a class's 2K samples
        z = page.evaluate("([K, nc1]) => ncLive.kernels.formulas.deviations(K, nc1)", [K, nc1])
        assert z == pytest.approx(float((means[0] - means[1]).norm()) / 2 / deviation, rel=1e-9)
    for z in (0.0, 0.2, 1.5, 2.999, 3.001, 7.0, 30.0):
        share = page.evaluate("z => ncLive.kernels.formulas.beyond(z)", z)
        assert share == pytest.approx(norm.sf(z), abs=1e-9) and share == pytest.approx(norm.sf(z), rel=1e-6)


def test_retraction_phase_and_orthant_kernels_agree_with_the_package(show):
    page = show("formulas retraction")
    x, along = torch.tensor([[0.6, 0.8]], dtype=torch.float64), torch.tensor([[-0.8, 0.6]], dtype=torch.float64)
    means = torch.eye(3, dtype=torch.float64)
    for step, share in [(0.05, 0.0), (0.4, 0.3), (1.6, 0.99), (2.0, 1.0)]:
        apart, cosine = page.evaluate(
            "([v, t]) => [ncLive.kernels.formulas.apart(v), ncLive.kernels.formulas.cosine(t)]", [step, share]
        )
        gap = sphere.retract(x, step * along) - sphere.geodesic(x, step * along)
        assert apart == pytest.approx(float(gap.norm()), abs=1e-9)
        assert cosine == pytest.approx(float(etf.cosine_matrix(means - share * means.mean(dim=0))[0, 1]), abs=1e-9)
    for K, n, decay_w, decay_h in [(2, 1, 1e-5, 1e-5), (10, 10, 0.01, 0.001), (100, 1000, 1e-4, 1e-3)]:
        margin = page.evaluate("([K, q]) => ncLive.kernels.formulas.margin(K, q)", [K, (n * decay_w * decay_h) ** 0.5])
        assert margin == pytest.approx(ufm.UFM(K, n, K, decay_w, decay_h).optimum().margin, abs=1e-9)


def test_bias_kernels_agree_with_the_package(show):
    page = show("formulas bias")
    for K, n, decay, bias in [(4, 5, 0.005, 0.02), (4, 5, 0.005, 0.05), (4, 5, 0.09, 10.0), (3, 2, 0.001, 0.3)]:
        problem = ufm.UFM(K, n, K, decay, decay, bias, ufm.SquaredError())
        cosine, threshold = page.evaluate(
            "([K, Kq, bias]) => { const k = ncLive.kernels.formulas; return [k.opened(K, Kq, bias), k.opens(Kq)]; }",
            [K, K * problem.q, bias],
        )
        rows = etf.cosine_matrix(problem.optimum().W)
        assert cosine == pytest.approx(float(rows[0, 1]), abs=1e-9)
        assert (cosine > -1 / (K - 1) + 1e-9) == (bias > threshold)


def test_swing_kernels_agree_with_the_package(show):
    page = show("formulas swing")
    for K, tau, angle in [(3, 6.0, math.pi), (3, 0.5, 0.0), (6, 4.5, 2.0), (10, 15.0, 5.0)]:
        W = etf.simplex_etf(K, K)
        spare = torch.linalg.svd(W).Vh[-1]
        across = W[1] - (W[1] @ W[0]) * W[0]
        for out, side in ((False, across / across.norm()), (True, spare)):

            def loss(a):
                logits = tau * W @ (a.cos() * W[0] + a.sin() * side)  # noqa: B023
                return logits.logsumexp(0) - logits[0]

            at = torch.tensor(angle, dtype=torch.float64)
            found = page.evaluate("given => ncLive.kernels.formulas.swing(...given)", [K, tau, angle, out])
            assert found["loss"] == pytest.approx(float(loss(at)), abs=1e-9)
            assert found["bend"] == pytest.approx(float(torch.func.grad(torch.func.grad(loss))(at)), abs=1e-9)


def test_cutoff_kernels_agree_with_a_pseudo_inverse(show):
    page = show("formulas cutoff")
    A = torch.randn(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sigma_b, sigma_w = A @ torch.diag(10.0 ** -torch.arange(8.0)).double() @ A.T, A.T @ A
    values, vectors = torch.linalg.eigh(sigma_b)
    values, vectors = values.flip(0), vectors.flip(1)
    terms = ((vectors.T @ sigma_w) * vectors.T).sum(1) / values
    for cutoff in (1e-2, 1e-4, 1e-6):
        found = page.evaluate(
            "given => ncLive.kernels.formulas.trace(...given)", [values.tolist(), terms.tolist(), cutoff]
        )
        expected = float(torch.trace(sigma_w @ torch.linalg.pinv(sigma_b, rtol=cutoff, hermitian=True)))
        assert found == pytest.approx(expected, rel=1e-9)
