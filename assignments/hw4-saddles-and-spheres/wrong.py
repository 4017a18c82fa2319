"""Typical wrong answers to assignment 4: the question, the code, and the marks that it should lose."""

WRONG = {
    "looks at the diagonal instead of the eigenvalues": (
        "q1",
        """
def kind(hessian):
    diagonal = torch.diagonal(hessian)
    index = int((diagonal < -1e-8).sum())
    return index, "strict saddle" if index else "minimum" if bool((diagonal > 1e-8).all()) else "undecided"
""",
        2,
    ),
    "takes round-off for a negative eigenvalue": (
        "q1",
        """
def kind(hessian):
    values = torch.linalg.eigvalsh(hessian) - 1e-12  # as if round-off had made every zero a little negative
    index = int((values < 0).sum())
    return index, "strict saddle" if index else "minimum"
""",
        2,
    ),
    "forgets the samples of a class": ("q2", "q2_decay = 1000 / COURSE_CLASSES**2", 1),
    "counts one way down a pattern": ("q2", "q2_index = COURSE_CLASSES - 1", 1),
    "forgets that classes can be rare": (
        "q3",
        """
def origin_rates(counts, weight_decay, feature_decay):
    K, N = len(counts), sum(counts)
    mean, half = (weight_decay + feature_decay) / 2, (weight_decay - feature_decay) / 2
    low = mean - math.sqrt(half**2 + 1 / (K * N))
    rates = [low] * (K - 1) + [min(weight_decay, feature_decay)]
    return torch.tensor(rates, dtype=torch.float64)
""",
        2,
    ),
    "uses the formula for equal decays": (
        "q3",
        """
def origin_rates(counts, weight_decay, feature_decay):
    n = torch.tensor(counts, dtype=torch.float64)
    errors = 1 / len(n) - torch.eye(len(n), dtype=torch.float64)
    sigma = torch.linalg.svdvals(n.sqrt()[:, None] * errors) / n.sum()
    return (math.sqrt(weight_decay * feature_decay) - sigma).sort().values
""",
        4,
    ),
    "smooths towards the other classes only": (
        "q4",
        """
def gradient(W, H, labels, smoothing, weight_decay, feature_decay):
    K = len(W)
    Y = torch.nn.functional.one_hot(labels, K).to(W.dtype)
    G = (torch.softmax(H @ W.T, dim=1) - (1 - smoothing) * Y - smoothing / (K - 1) * (1 - Y)) / len(H)
    return G.T @ H + weight_decay * W, G @ W + feature_decay * H
""",
        3,
    ),
    "holds the residual fixed in the Hessian": (
        "q4",
        """
def hessian_times(W, H, labels, smoothing, weight_decay, feature_decay, dW, dH):
    K = len(W)
    T = (1 - smoothing) * torch.nn.functional.one_hot(labels, K).to(W.dtype) + smoothing / K
    G = (torch.softmax(H @ W.T, dim=1) - T) / len(H)
    return G.T @ dH + weight_decay * dW, G @ dW + feature_decay * dH
""",
        2,
    ),
    "keeps the decays of the whole model for the groups": (
        "q5",
        """
right_saddle = saddle
def saddle(m, g, n, d, weight_decay, feature_decay):
    return right_saddle(m, g, n, d, weight_decay / g, feature_decay / g)
""",
        5,
    ),
    "gives features and rows one length": (
        "q5",
        """
grouped = saddle
def saddle(m, g, n, d, weight_decay, feature_decay):
    mean = math.sqrt(weight_decay * feature_decay)
    return grouped(m, g, n, d, mean, mean)
""",
        2,
    ),
    "takes the direction of the proof, scaled to length one": (
        "q6",
        """
def way_down(W, H, labels, weight_decay, feature_decay):
    G = (torch.softmax(H @ W.T, dim=1) - torch.nn.functional.one_hot(labels, len(W))) / len(H)
    left, values, right = torch.linalg.svd(G, full_matrices=False)
    if float(values[0]) <= (1 + 1e-6) * math.sqrt(weight_decay * feature_decay):
        return None
    spare = torch.linalg.svd(torch.cat([W, H]), full_matrices=True)[2][-1]
    c = (feature_decay / weight_decay) ** 0.25
    length = math.sqrt(c**2 + c**-2)
    return c / length * torch.outer(right[0], spare), -torch.outer(left[:, 0], spare) / c / length
""",
        2,
    ),
    "always finds a way down": (
        "q6",
        """
down = way_down
def way_down(W, H, labels, weight_decay, feature_decay):
    return down(W, H, labels, weight_decay, feature_decay) or (0 * W, 0 * H)
""",
        2,
    ),
    "mends the lengths alone": (
        "q7",
        """
def sphere_descent(W, H, labels, tau, rate, steps):
    one_hot = torch.nn.functional.one_hot(labels, len(W)).to(W.dtype)
    for step in range(steps):
        G = (torch.softmax(H @ W.T, dim=1) - one_hot) / len(labels)
        grad_W, grad_H = tau * G.T @ H, tau * G @ W
        W = W - rate * (grad_W - (W * grad_W).sum() * W)
        H = H - rate * (grad_H - (H * grad_H).sum(dim=1, keepdim=True) * H)
        W = W / W.norm(dim=1, keepdim=True)
        H = H / H.norm(dim=1, keepdim=True)
    return W, H
""",
        4,
    ),
    "leaves the projection out": (
        "q7",
        """
def sphere_descent(W, H, labels, tau, rate, steps):
    one_hot = torch.nn.functional.one_hot(labels, len(W)).to(W.dtype)
    for step in range(steps):
        G = (torch.softmax(tau * H @ W.T, dim=1) - one_hot) / len(labels)
        W, H = W - rate * tau * G.T @ H, H - rate * tau * G @ W
        W = W / W.norm(dim=1, keepdim=True)
        H = H / H.norm(dim=1, keepdim=True)
    return W, H
""",
        4,
    ),
    "forgets that the ground bends": (
        "q8",
        """
def feature_curvature(W, h, label, tau, v):
    p, along = torch.softmax(tau * W @ h, dim=0), W @ v
    return float(tau**2 * ((p * along**2).sum() - (p * along).sum() ** 2))
""",
        4,
    ),
    "takes every velocity for a unit vector": (
        "q8",
        """
def feature_curvature(W, h, label, tau, v):
    p, along = torch.softmax(tau * W @ h, dim=0), W @ v
    spread = (p * along**2).sum() - (p * along).sum() ** 2
    return float(tau**2 * spread - tau * (h @ (W.T @ p - W[label])))
""",
        2,
    ),
    "leaves the temperature at one": (
        "q9",
        """
at_will = train
def train(inputs, labels, probability, seed):
    K = int(labels.max()) + 1
    return at_will(inputs, labels, 1 - 2 * (1 - 1 / (1 + (K - 1) * math.exp(-K / (K - 1)))), seed)
""",
        4,
    ),
    "takes a temperature of a hundred": (
        "q9",
        """
def train(inputs, labels, probability, seed):
    draw = torch.Generator().manual_seed(seed)
    shapes = ((32, inputs.shape[1]), (16, 32), (int(labels.max()) + 1, 16))
    W1, W2, C = ((2 / s[1]) ** 0.5 * torch.randn(*s, generator=draw, dtype=torch.float64) for s in shapes)
    b1, b2 = torch.zeros(32, dtype=torch.float64), torch.zeros(16, dtype=torch.float64)
    parameters, unit = [W1, b1, W2, b2, C], torch.nn.functional.normalize
    optimizer = torch.optim.Adam([p.requires_grad_() for p in parameters], lr=0.01)
    for _ in range(300):
        h = unit(torch.relu(inputs @ W1.T + b1) @ W2.T + b2, dim=1)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(100 * h @ unit(C, dim=1).T, labels).backward()
        optimizer.step()
    return [p.detach() for p in parameters] + [100.0]
""",
        2,
    ),
    "predicts a logarithm for every depth": (
        "q10",
        """
def predicted_steps(L, start, rate, radius):
    return math.log(radius / start) / math.log(1 + rate / 2)
""",
        1,
    ),
    "stops counting one factor too early": (
        "q10",
        """
def steps_to_leave(L, start, rate, radius):
    w, steps = start, 0
    while w < radius:
        w, steps = w + rate * w**L / (1 + math.exp(w**L)), steps + 1
    return steps
""",
        2,
    ),
    "returns nothing at all": (
        "q4",
        "def gradient(*args): return ()\ndef hessian_times(*args): return ()",
        5,
    ),
    "the simplex ETF in place of descent": (
        "q7",
        """
def sphere_descent(W, H, labels, tau, rate, steps):
    K, d = W.shape
    axes = torch.linalg.svd(torch.eye(K, dtype=W.dtype) - 1 / K)[0][:, : K - 1]
    rows = torch.nn.functional.pad((K / (K - 1)) ** 0.5 * axes, (0, max(0, d - K + 1)))[:, :d]
    return rows, rows[labels]
""",
        4,
    ),
}

# What no check can refuse, and why.
SURVIVES = {
    ("q9", "twice as large"): "a network with parameters twice as large is a network, too, and surer",
}
