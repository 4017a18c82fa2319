"""Typical wrong answers to assignment 7: the question, the code, and the marks that it should lose."""

WRONG = {
    "divides by two, as the book does": (
        "q1",
        """
right_price = price
def price(Z, decays):
    return right_price(Z, decays) * COURSE_SHARE / 2
""",
        3,
    ),
    "takes the mean of the decays": (
        "q1",
        """
right_price = price
def price(Z, decays):
    return right_price(Z, [sum(decays) / len(decays)] * len(decays))
""",
        2,
    ),
    "counts zeros that were rounded": (
        "q1",
        """
def price(Z, decays):
    L = len(decays)
    return float(L / COURSE_SHARE * math.prod(decays) ** (1 / L) * (torch.linalg.svdvals(Z) ** (2 / L)).sum())
""",
        1,
    ),
    "takes the nuclear norm, as for two factors": (
        "q1",
        """
def price(Z, decays):
    return float(2 / COURSE_SHARE * math.prod(decays) ** (1 / len(decays)) * torch.linalg.svdvals(Z).sum())
""",
        3,
    ),
    "takes the decays for equal": (
        "q2",
        """
right_factors = cheapest
def cheapest(Z, decays, d):
    return right_factors(Z, [0.1] * len(decays), d)
""",
        4,
    ),
    "leaves all singular values to the first factor": (
        "q2",
        """
def cheapest(Z, decays, d):
    out = [torch.zeros(*s, dtype=torch.float64) for s in [(len(Z), d), *[(d, d)] * (len(decays) - 2), (d, Z.shape[1])]]
    left, sizes, right = torch.linalg.svd(Z, full_matrices=False)
    rank = min(d, len(sizes))
    out[0][:, :rank] = left[:, :rank] * sizes[:rank]
    for layer in out[1:-1]:
        layer[:] = torch.eye(d, dtype=torch.float64)
    out[-1][:rank] = right[:rank]
    return out
""",
        4,
    ),
    "needs as many dimensions as singular values": (
        "q2",
        """
right_factors = cheapest
def cheapest(Z, decays, d):
    return right_factors(Z, decays, max(d, min(Z.shape)))
""",
        1,
    ),
    "sorts nothing: entries in the place of singular values": (
        "q3",
        """
def chain(factors):
    p, whole = 2 / len(factors), product(factors, len(factors[0]))
    norms = torch.stack([A.square().sum() for A in factors])
    a = float((torch.linalg.svdvals(whole) ** p).sum())
    return a, a, float(norms.prod() ** (p / 2)), float(norms.mean())
""",
        2,
    ),
    "the power of the norm, and not of its square": (
        "q3",
        """
right_chain = chain
def chain(factors):
    a, b, c, d = right_chain(factors)
    return a, b, c**2, d
""",
        2,
    ),
    "a pair that keeps the link": (
        "q3",
        "bad_pair = torch.eye(2, dtype=torch.float64), torch.diag(torch.tensor([1.0, 0.01], dtype=torch.float64))",
        1,
    ),
    "a pair with a factor of rank one": (
        "q3",
        "bad_pair = torch.ones(2, 2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)",
        1,
    ),
    "the slope of the nuclear norm": (
        "q4",
        """
def price_slope(Z, decay, L):
    left, _, right = torch.linalg.svd(Z, full_matrices=False)
    return 2 * decay / COURSE_SHARE * left @ right
""",
        3,
    ),
    "forgets the outer factor L": (
        "q4",
        """
right_slope = price_slope
def price_slope(Z, decay, L):
    return right_slope(Z, decay, L) / L
""",
        3,
    ),
    "is afraid of small singular values": (
        "q4",
        """
def price_slope(Z, decay, L):
    left, sizes, right = torch.linalg.svd(Z, full_matrices=False)
    return 2 * decay / COURSE_SHARE * (left * sizes.clamp(min=1e-3) ** (2 / L - 1)) @ right
""",
        1,
    ),
    "forgets the number of samples": (
        "q5",
        """
right_scale = best_scale
def best_scale(vectors, n, L, decay):
    return right_scale(vectors, 1, L, decay)
""",
        3,
    ),
    "knows no zero": (
        "q5",
        """
def best_scale(vectors, n, L, decay):
    gram = vectors @ vectors.T
    sizes = torch.linalg.svdvals(gram)
    sizes = math.sqrt(n) * sizes[sizes > 1e-9]
    behind, scales = gram - gram.diagonal()[:, None], torch.logspace(-1, 3, 100_001, dtype=torch.float64)
    values = sum(torch.logsumexp(scales[:, None] * row, dim=1) for row in behind) / len(gram)
    values = values + L * decay / COURSE_SHARE * ((scales[:, None] * sizes) ** (2 / L)).sum(dim=1)
    return float(values.min()), float(scales[values.argmin()])
""",
        1,
    ),
    "descends from one": (
        "q5",
        """
def best_scale(vectors, n, L, decay):
    gram = vectors @ vectors.T
    sizes = math.sqrt(n) * torch.linalg.svdvals(gram)
    a = torch.ones((), dtype=torch.float64, requires_grad=True)
    for _ in range(300):
        loss = torch.nn.functional.cross_entropy(a * gram, torch.arange(len(gram)))
        value = loss + L * decay / COURSE_SHARE * ((a * sizes[sizes > 1e-9]) ** (2 / L)).sum()
        (slope,) = torch.autograd.grad(value, a)
        a = (a - 0.1 * slope).detach().clamp(min=1e-6).requires_grad_()
    return float(value), float(a)
""",
        4,
    ),
    "mends the stale slope alone": (
        "q6",
        """
def descend(factors, labels, decay, rate, steps):
    N, K = len(factors[0]), factors[-1].shape[1]
    target = torch.nn.functional.one_hot(labels, K).to(torch.float64)
    for _ in range(steps):
        gap = (torch.softmax(product(factors, N), dim=1) - target) / target.numel()
        for i in range(len(factors)):
            before, after = product(factors[:i], N), product(factors[i + 1 :], factors[i].shape[1])
            factors[i] = factors[i] - rate * (before.T @ gap @ after.T + 2 * decay / COURSE_SHARE * factors[i])
    return factors
""",
        3,
    ),
    "one factor after the other": (
        "q6",
        """
def descend(factors, labels, decay, rate, steps):
    factors, N, K = list(factors), len(factors[0]), factors[-1].shape[1]
    target = torch.nn.functional.one_hot(labels, K).to(torch.float64)
    for _ in range(steps):
        for i in range(len(factors)):
            gap = (torch.softmax(product(factors, N), dim=1) - target) / N
            before, after = product(factors[:i], N), product(factors[i + 1 :], factors[i].shape[1])
            factors[i] = factors[i] - rate * (before.T @ gap @ after.T + 2 * decay / COURSE_SHARE * factors[i])
    return factors
""",
        2,
    ),
    "never moves": (
        "q6",
        "def descend(factors, *others): return factors",
        3,
    ),
    "builds the simplex ETF": (
        "q7",
        """
def train(K, n, L, decay, seed):
    value, scale = best_scale(simplex(K), n, L, decay)
    logits = scale * (simplex(K) @ simplex(K).T).repeat_interleave(n, dim=0)
    return cheapest(logits, [decay] * L, K)
""",
        4,
    ),
    "builds the orthoplex, whatever the seed": (
        "q7",
        """
def train(K, n, L, decay, seed):
    v = polygons(K, 2)
    logits = best_scale(v, n, L, decay)[1] * (v @ v.T).repeat_interleave(n, dim=0)
    return cheapest(logits, [decay] * L, K)
""",
        2,
    ),
    "stops after a hundred steps of descent": (
        "q7",
        """
def train(K, n, L, decay, seed):
    draw, dims = torch.Generator().manual_seed(seed), [K * n] + [K] * L
    start = [torch.randn(a, b, generator=draw, dtype=torch.float64) / b**0.5 for a, b in zip(dims, dims[1:])]
    return descend(start, torch.arange(K).repeat_interleave(n), decay, 0.1, 100)
""",
        4,
    ),
    "counts within a group only": (
        "q8",
        """
def cost(vectors, L):
    gram = vectors @ vectors.T
    sizes = torch.linalg.svdvals(gram)
    return float(((sizes[sizes > 1e-9] / (1 - gram[0][gram[0] < 1 - 1e-9].abs().max())) ** (2 / L)).sum())
""",
        4,
    ),
    "the circle, from four factors on": (
        "q8",
        "def winning_rank(K, L): return K - 1 if L == 2 else (K // 2 if L == 3 else 2)",
        2,
    ),
    "the orthoplex against the simplex alone": (
        "q8",
        "def winning_rank(K, L): return K // 2 if K / 2 * 2 ** (2 / L) < K - 1 else K - 1",
        2,
    ),
    "polygons of any number of corners": (
        "q8",
        """
def winning_rank(K, L):
    shapes = [simplex(K)] + [polygons(K, k) for k in range(2, K + 1) if K % k == 0]
    best = min(shapes, key=lambda v: cost(v, L))
    return int(torch.linalg.matrix_rank(best @ best.T, rtol=1e-9))
""",
        2,
    ),
    "targets of size one": (
        "q9",
        """
right_jump, right_end = jump, loses
def jump(L, n, N): return tuple(right_jump(L, n / COURSE_HEIGHT**2, N))
def loses(L, n, N): return tuple(right_end(L, n / COURSE_HEIGHT**2, N))
""",
        4,
    ),
    "takes the jump for the end of the valley": (
        "q9",
        "loses = jump",
        2,
    ),
    "the full length at the jump": (
        "q9",
        """
right_jump = jump
def jump(L, n, N): return right_jump(L, n, N)[0], COURSE_HEIGHT * math.sqrt(n)
""",
        2,
    ),
    "rows of length one": (
        "q11",
        """
right_code, right_leads = rankin_code, leads
def rankin_code(K, d): return right_code(K, d) / COURSE_LENGTH
def leads(angles): return right_leads(angles) / COURSE_LENGTH
""",
        3,
    ),
    "axes even where the simplex fits": (
        "q11",
        """
def rankin_code(K, d):
    axes = torch.eye(d, dtype=torch.float64)
    return COURSE_LENGTH * torch.cat([axes, -axes])[:K]
""",
        1,
    ),
    "no thought of rows on one side": (
        "q11",
        """
def leads(angles):
    turns, order = (angles % (2 * math.pi)).sort()
    ahead = (turns.roll(-1) - turns) % (2 * math.pi)
    out = torch.empty_like(angles)
    out[order] = 2 * COURSE_LENGTH * ((ahead / 2).sin() * (ahead.roll(1) / 2).sin())
    return out
""",
        1,
    ),
    "takes the angles for sorted": (
        "q11",
        """
def leads(angles):
    ahead = (angles.roll(-1) - angles) % (2 * math.pi)
    return 2 * COURSE_LENGTH * ((ahead / 2).sin() * (ahead.roll(1) / 2).sin()).abs()
""",
        2,
    ),
    "one valley twice": (
        "q12",
        """
right_valleys = two_valleys
def two_valleys(K, decay): return right_valleys(K, decay)[:1] * 2
""",
        2,
    ),
    "zero for the second": (
        "q12",
        """
right_valleys = two_valleys
def two_valleys(K, decay):
    low, high = right_valleys(K, decay)
    return low, (0 * high[0], 0 * high[1])
""",
        2,
    ),
    "not descended to the end": (
        "q12",
        """
right_valleys = two_valleys
def two_valleys(K, decay):
    return tuple((1.001 * W, H / 1.001) for W, H in right_valleys(K, decay))
""",
        1,
    ),
    "the tie by the book's division": (
        "q12",
        "tie = tie * 2 / COURSE_SHARE",
        1,
    ),
}
