"""Typical wrong answers to assignment 8: the question, the code, and the marks that it should lose."""

WRONG = {
    "the trace quotient of the data": (
        "q1",
        """
def nu(X, y):
    within, between = spread(X, y)
    return within / between
""",
        2,
    ),
    "the mean ratio, not the largest": (
        "q1",
        """
def nu(X, y):
    K = int(y.max()) + 1
    means = torch.stack([X[y == k].mean(dim=0) for k in range(K)])
    _, sizes, right = torch.linalg.svd(means - means.mean(dim=0), full_matrices=False)
    inside = (X - means[y]) @ right[: K - 1].T / sizes[: K - 1]
    return float(inside.square().sum() * K / len(X) / (K - 1))
""",
        2,
    ),
    "takes the noise away instead of making it harmless": (
        "q1",
        """
def harmless(X, y, q):
    means = torch.stack([X[y == k].mean(dim=0) for k in range(int(y.max()) + 1)])
    return means[y]
""",
        2,
    ),
    "decays divided by two, as in the book": (
        "q2",
        """
right_train = train
def train(X, y, decay, seed):
    return right_train(X, y, decay * COURSE_SHARE / 2, seed)
""",
        4,
    ),
    "forty steps": (
        "q2",
        """
def train(X, y, decay, seed):
    draw, K = torch.Generator().manual_seed(seed), int(y.max()) + 1
    W, A = (torch.randn(K, m, generator=draw, dtype=torch.float64) for m in (K, X.shape[1]))
    b, target = torch.zeros(K, dtype=torch.float64), torch.nn.functional.one_hot(y, K).to(torch.float64)
    for _ in range(40):
        gap = (X @ A.T @ W.T + b - target) / len(X)
        back = W.T @ gap.T @ X
        W = W - 0.1 * (gap.T @ X @ A.T + 2 * decay / COURSE_SHARE * W)
        A, b = A - 0.1 * (back + 2 * decay / COURSE_SHARE * A), b - 0.1 * gap.sum(dim=0)
    return W, A, b
""",
        4,
    ),
    "the same factors for every seed": (
        "q2",
        """
right_train = train
def train(X, y, decay, seed):
    return right_train(X, y, decay, 0)
""",
        2,
    ),
    "the chapter's ReLU": (
        "q3",
        """
def kernels(X):
    lengths = X.norm(dim=1)
    c = (X @ X.T / lengths[:, None] / lengths).clamp(-1, 1)
    on, size = 1 - c.arccos() / math.pi, lengths[:, None] * lengths
    first = (1 - c * c).sqrt() / math.pi + c * on
    return size * first, size * (first + c * on)
""",
        3,
    ),
    "lengths forgotten": (
        "q3",
        """
right_kernels = kernels
def kernels(X):
    return right_kernels(X / X.norm(dim=1, keepdim=True))
""",
        3,
    ),
    "no thought of rounding": (
        "q3",
        """
def kernels(X):
    lengths = X.norm(dim=1)
    c, size = X @ X.T / lengths[:, None] / lengths, lengths[:, None] * lengths
    on, linear = 1 - c.arccos() / math.pi, 2 * COURSE_SLOPE / (1 + COURSE_SLOPE**2)
    first = (1 - linear) * ((1 - c * c).sqrt() / math.pi + c * on) + linear * c
    return size * first, size * (first + c * ((1 - linear) * on + linear))
""",
        3,
    ),
    "the slope of ReLU": (
        "q4",
        """
right_slopes = slopes
def slopes(x, W, v):
    return right_slopes(x, W, v)[0] * (W @ x > 0)[:, None], right_slopes(x, W, v)[1]
""",
        1,
    ),
    "one gradient after the other": (
        "q4",
        """
def tangent(X, W, v):
    u = X @ W.T
    return phi(u) @ phi(u).T / len(v)
""",
        3,
    ),
    "the matrix instead of its inverse": (
        "q4",
        """
def travel(X, t, W, v, alpha):
    return math.sqrt(float(t @ tangent(X, W, v) @ t)) / alpha
""",
        2,
    ),
    "leaves the diagonal out": (
        "q5",
        """
def quotient(kernel, y):
    same = y[:, None] == y
    inside = kernel[same & ~torch.eye(len(y), dtype=bool)].mean()
    other = kernel[~same].mean()
    return float((kernel.diagonal().mean() - inside) / (inside - other))
""",
        2,
    ),
    "classes in a row": (
        "q5",
        """
right_quotient = quotient
def quotient(kernel, y):
    return right_quotient(kernel, y.sort().values)
""",
        2,
    ),
    "three cosines": (
        "q5",
        "exception = torch.eye(4, dtype=torch.float64), torch.tensor([0, 0, 1, 1])",
        2,
    ),
    "opposite points, and nothing to divide by": (
        "q5",
        """
exception = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64), torch.tensor([0, 0, 1, 1])
""",
        2,
    ),
    "the book's two": (
        "q6",
        """
right_room = room
def room(W, loss, eps, inside, decay):
    return right_room(W, loss, eps * 2 / COURSE_SHARE, inside, decay)
""",
        2,
    ),
    "a lower bound that comes up again": (
        "q6",
        """
right_room = room
def room(W, loss, eps, inside, decay):
    gap = math.sqrt(1 - 1 / len(W)) - math.sqrt(2 * loss)
    return right_room(W, loss, eps, inside, decay)[0], (gap / float(torch.linalg.matrix_norm(W, 2))) ** 2
""",
        2,
    ),
    "a collapsed point": (
        "q6",
        "tight = tight[0], torch.eye(3, dtype=torch.float64).repeat_interleave(2, dim=0).T, *tight[2:]",
        1,
    ),
    "centres on the mean of all samples": (
        "q7",
        """
def kappa(features, classes, others):
    means = torch.stack([features[classes == k].mean(dim=0) for k in classes.unique()])
    centre = features.mean(dim=0)
    span = torch.linalg.svd(means - centre, full_matrices=False)[2][: len(means) - 1]
    apart = others - centre
    return (apart @ span.T).norm(dim=1) / apart.norm(dim=1).clamp(min=1e-300)
""",
        1,
    ),
    "one dimension too many": (
        "q7",
        """
def kappa(features, classes, others):
    means = torch.stack([features[classes == k].mean(dim=0) for k in classes.unique()])
    span = torch.linalg.svd(means - means.mean(dim=0), full_matrices=False)[2]
    apart = others - means.mean(dim=0)
    return (apart @ span.T).norm(dim=1) / apart.norm(dim=1).clamp(min=1e-300)
""",
        1,
    ),
    "ranks by order, ties as they come": (
        "q7",
        """
def auroc(known, unknown):
    order = torch.cat([known, unknown]).argsort(stable=True)
    ranks = torch.empty(len(order), dtype=torch.float64)
    ranks[order] = torch.arange(1, len(order) + 1, dtype=torch.float64)
    m, n = len(known), len(unknown)
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))
""",
        1,
    ),
    "ten thousand pairs are enough": (
        "q7",
        """
right_auroc = auroc
def auroc(known, unknown): return right_auroc(known[:100], unknown[:100])
""",
        2,
    ),
    "penalises the offset": (
        "q8",
        """
def probe(features, y, ridge):
    target = torch.nn.functional.one_hot(y).to(torch.float64)
    rows = torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], dim=1)
    system = rows.T @ rows / len(rows) + 2 * ridge / COURSE_SHARE * torch.eye(rows.shape[1], dtype=torch.float64)
    both = torch.linalg.solve(system, rows.T @ target / len(rows)).T
    return both[:, :-1], both[:, -1]
""",
        2,
    ),
    "the theorem's bound": (
        "q8",
        """
def steady(V, c, features, eps):
    lead = (features @ V.T + c).topk(2, dim=1).values
    return float((lead[:, 0] - lead[:, 1] > 2 * eps * V.norm(dim=1).max()).double().mean())
""",
        1,
    ),
    "the nearest rival only": (
        "q8",
        """
def steady(V, c, features, eps):
    top, which = (features @ V.T + c).topk(2, dim=1)
    return float((top[:, 0] - top[:, 1] > eps * (V[which[:, 0]] - V[which[:, 1]]).norm(dim=1)).double().mean())
""",
        1,
    ),
    "centres, and counts all alike": (
        "q10",
        """
right_etf = nearest_etf
def nearest_etf(means, weights): return right_etf(means, torch.ones_like(weights))
""",
        2,
    ),
    "the scale of the unweighted problem": (
        "q10",
        """
right_etf = nearest_etf
def nearest_etf(means, weights):
    shape = right_etf(means, weights)
    centred = means - means.mean(dim=0)
    return shape / torch.linalg.matrix_norm(shape, 2) * torch.linalg.svdvals(centred).sum() / (len(means) - 1)
""",
        2,
    ),
}

OPTIMISE = """
def optimise(W, H, y, method, rate, decay, steps):
    onehot = torch.nn.functional.one_hot(y, len(W)).to(torch.float64)
    first, second = torch.zeros_like(W), torch.zeros_like(W)
    for t in range(1, steps + 1):
        slope = (torch.softmax(H @ W.T, dim=1) - onehot).T @ H / len(H)
        if method == "adamw" and not COUPLED:
            W = (1 - rate * decay) * W
        else:
            slope = slope + decay * W
        first = COURSE_MOMENTUM * first + (1 if method == "sgd" and not MEAN else 1 - COURSE_MOMENTUM) * slope
        second = 0.99 * second + 0.01 * slope.square()
        s = steps if LATE else t
        size = (second / (1 - 0.99**s)).sqrt() + 1e-8
        W = W - rate * (first if method == "sgd" else first / (1 - COURSE_MOMENTUM**s) / size)
    return W
"""
for name, marks, flags in (
    ("AdamW still couples", 1, "COUPLED, MEAN, LATE = True, False, False"),
    ("SGD still takes means", 1, "COUPLED, MEAN, LATE = False, True, False"),
    ("corrects by the last step", 2, "COUPLED, MEAN, LATE = False, False, True"),
):
    WRONG[name] = ("q11", flags + "\n" + OPTIMISE, marks)

WRONG |= {
    "plain momentum for both": (
        "q12",
        """
right_left = left
def left(t, rate, decay, momentum, nesterov): return right_left(t, rate, decay, momentum, False)
""",
        1,
    ),
    "the chapter's formula, where its roots differ": (
        "q12",
        """
right_left = left
def left(t, rate, decay, momentum, nesterov):
    half = (1 + momentum - rate * decay) / 2
    root = complex(half * half - momentum) ** 0.5
    plus, minus = half + root, half - root
    if nesterov: return right_left(t, rate, decay, momentum, True)
    return (((plus - momentum) * plus**t - (minus - momentum) * minus**t) / (plus - minus)).real
""",
        1,
    ),
    "the first order of the slow root": (
        "q12",
        """
right_left = left
def left(t, rate, decay, momentum, nesterov): return (1 - rate * decay / (1 - momentum)) ** t
""",
        2,
    ),
    "the usual 0.9": ("q12", "def fastest(rate, decay, nesterov): return 0.9", 1),
    "the plain kind's best for both": (
        "q12",
        """
right_fastest = fastest
def fastest(rate, decay, nesterov): return right_fastest(rate, decay, False)
""",
        1,
    ),
    "the long run's factor alone": (
        "q12",
        """
long = [math.log(COURSE_REST) / -math.log(1 - x) for x in (COURSE_STEP, math.sqrt(COURSE_STEP), math.sqrt(COURSE_STEP))]
steps = tuple(math.ceil(s) for s in long)
""",
        1,
    ),
}
