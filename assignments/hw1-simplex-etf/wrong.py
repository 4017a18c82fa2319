"""Typical wrong answers to assignment 1: the question, the code, and the marks that it should lose."""

FIT = """
def train(inputs, labels, seed, decay={decay}, steps={steps}):
    draw = torch.Generator().manual_seed(seed)
    sizes = [inputs.shape[1], 32, 32, int(labels.max()) + 1]
    p = []
    for a, b in zip(sizes, sizes[1:]):
        p += [(2 / a) ** 0.5 * torch.randn(b, a, generator=draw, dtype=torch.float64), torch.zeros(b).double()]
    opt = torch.optim.Adam([q.requires_grad_() for q in p], lr=0.01)
    for _ in range(steps):
        h = torch.relu(torch.relu(inputs @ p[0].T + p[1]) @ p[2].T + p[3])
        loss = torch.nn.functional.cross_entropy(h @ p[4].T + p[5], labels) + decay * sum((q**2).sum() for q in p)
        opt.zero_grad()
        loss.backward()
        opt.step()
    return [q.detach() for q in p]
"""

WRONG = {
    "inner products in place of cosines": ("q1", "def cosine_matrix(v): return v @ v.T", 3),
    "the visible example, written down": (
        "q1",
        "def cosine_matrix(v): return torch.tensor([[1, 0.8], [0.8, 1]], dtype=torch.float64)",
        3,
    ),
    "as many dimensions as classes": ("q2", "q2_dimension = COURSE_CLASSES", 1),
    "a step that is right only once": (
        "q3",
        "def grow(f):\n    a = torch.cat([f * 0.75**0.5, torch.full((len(f), 1), -0.5).double()], 1)\n"
        "    return torch.cat([a, torch.eye(f.shape[1] + 1).double()[-1:]])",
        4,
    ),
    "the distance, squared": (
        "q4",
        "def etf_distance(w):\n    K = len(w)\n    g = w @ w.T\n"
        "    return float(((g / g.norm() - (torch.eye(K).double() - 1 / K) / (K - 1) ** 0.5) ** 2).sum())",
        4,
    ),
    "the centre of all samples": (
        "q5",
        "_right = class_statistics\ndef class_statistics(h, y):\n    m, w, _ = _right(h, y)\n"
        "    c = m - h.mean(0)\n    return m, w, c.T @ c / len(m)",
        2,
    ),
    "one sample less in the average": (
        "q5",
        "_right = class_statistics\ndef class_statistics(h, y):\n    m, w, b = _right(h, y)\n"
        "    return m, w * len(h) / (len(h) - 1), b",
        2,
    ),
    "an inverse that does not exist": (
        "q6",
        "def nc1(h, y):\n    m, w, b = class_statistics(h, y)\n"
        "    return float(torch.trace(w @ torch.linalg.inv(b)) / len(m))",
        2,
    ),
    "a trace not divided by the classes": (
        "q6",
        "def nc1(h, y):\n    m, w, b = class_statistics(h, y)\n"
        "    return float(torch.trace(w @ torch.linalg.pinv(b, hermitian=True)))",
        4,
    ),
    "a factor of two in the gradient": (
        "q7",
        "_right_gradient = gram_gradient\ndef gram_gradient(w): return 2 * _right_gradient(w)",
        2,
    ),
    "a gradient computed once": (
        "q8",
        "def descend(w, steps, rate):\n    K = len(w)\n"
        "    g = (w @ w.T - (K * torch.eye(K).double() - 1) / (K - 1)) @ w\n"
        "    for _ in range(steps): w = w - rate * g\n    return w",
        4,
    ),
    "no weight decay": ("q9", FIT.format(decay=0.0, steps=400), 2),
    "no training": ("q9", FIT.format(decay=0.0, steps=0), 5),
    "noise in every direction": (
        "q10",
        "def hide_variation(h, y):\n    m, w, _ = class_statistics(h, y)\n    return m[y] + 20 * (h - m[y])",
        4,
    ),
    "noise that moves the means": (
        "q10",
        "def hide_variation(h, y):\n    m, w, _ = class_statistics(h, y)\n"
        "    v = torch.linalg.svd(m - m.mean(0))[2][-1]\n"
        "    return h + 30 * h.norm() * torch.rand(len(h), 1, generator=torch.Generator().manual_seed(1)).double() * v",
        4,
    ),
    "the closed form in place of growing": (
        "q3",
        """
def grow(frame):
    K = len(frame) + 1
    centre = torch.eye(K, dtype=frame.dtype) - 1 / K
    rows = (K / (K - 1)) ** 0.5 * torch.linalg.svd(centre)[0][:, : K - 1]
    a = torch.cat([rows[-1:].T, torch.eye(K - 1, dtype=frame.dtype)[:, : K - 2]], dim=1)
    turn = torch.linalg.qr(a)[0].flip(1)
    return rows @ turn * torch.sign((rows @ turn)[-1, -1])
""",
        4,
    ),
    "the end of the descent in one stroke": (
        "q8",
        """
def descend(weight, steps, rate):
    K = len(weight)
    star = (K * torch.eye(K, dtype=weight.dtype) - 1) / (K - 1)
    P, _, R = torch.linalg.svd(star @ weight, full_matrices=False)
    half = (K / (K - 1)) ** 0.5 * (torch.eye(K, dtype=weight.dtype) - 1 / K)
    return half @ P @ R
""",
        4,
    ),
    "random features, the class means as classifier": (
        "q9",
        """
def train(inputs, labels, seed):
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    W1, b1, W2, b2 = normal(32, inputs.shape[1]) / 2, normal(32), normal(32, 32) / 4, normal(32)
    h = torch.relu(torch.relu(inputs @ W1.T + b1) @ W2.T + b2)
    M = torch.stack([h[labels == k].mean(0) for k in range(int(labels.max()) + 1)])
    W3 = M - M.mean(0)
    return [W1, b1, W2, b2, W3, -(W3 * (M + M.mean(0))).sum(1) / 2]
""",
        5,
    ),
    "random features and least squares": (
        "q9",
        """
def train(inputs, labels, seed):
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    W1, b1, W2, b2 = normal(32, inputs.shape[1]) / 2, normal(32), normal(32, 32) / 4, normal(32)
    h = torch.relu(torch.relu(inputs @ W1.T + b1) @ W2.T + b2)
    A = torch.cat([h, torch.ones(len(h), 1, dtype=torch.float64)], dim=1)
    onehot = torch.nn.functional.one_hot(labels).double()
    s = torch.linalg.lstsq(A, onehot, driver="gelsd").solution
    return [W1, b1, W2, b2, s[:-1].T, s[-1]]
""",
        5,
    ),
}

# What no check can refuse, and why.
SURVIVES = {
    ("q9", "twice as large"): "a network with parameters twice as large is a network, too, and classifies as well",
}
