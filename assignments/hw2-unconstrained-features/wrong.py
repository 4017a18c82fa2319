"""Typical wrong answers to assignment 2: the question, the code, and the marks that it should lose."""

WRONG = {
    "sums the loss but keeps the mean's decays": (
        "q1",
        """
def summed_optimum(K, n, a, c):
    price = math.sqrt(n * a * c)
    s = math.log(1 / price - (K - 1)) if K * price < 1 else 0.0
    return s, K * n * (math.log1p((K - 1) * math.exp(-s)) + price * (K - 1) * s)
""",
        2,
    ),
    "forgets that zero can be best": (
        "q1",
        """
def summed_optimum(K, n, a, c):
    price = math.sqrt(a * c / n) / K
    s = math.log(1 / price - (K - 1))
    return s, K * n * (math.log1p((K - 1) * math.exp(-s)) + price * (K - 1) * s)
""",
        1,
    ),
    "returns the minimum of the mean": (
        "q1",
        """
def summed_optimum(K, n, a, c):
    price = math.sqrt(a * c / n) / K
    s = math.log(1 / price - (K - 1)) if K * price < 1 else 0.0
    return s, math.log1p((K - 1) * math.exp(-s)) + price * (K - 1) * s
""",
        3,
    ),
    "forgets the number of samples": (
        "q2",
        "def decays_for(K, n, p, r): return (1 - p) / (K - 1) * r, (1 - p) / (K - 1) / r",
        3,
    ),
    "squares the ratio of lengths": (
        "q2",
        "def decays_for(K, n, p, r): return (1 - p) / (K - 1) * r**2, (1 - p) / (K - 1) / (n * r**2)",
        1,
    ),
    "forgets the decay of the bias": (
        "q3",
        """
def weighted_gradient(W, H, b, labels, weights, weight_decay, feature_decay, bias_decay):
    onehot = torch.nn.functional.one_hot(labels, len(W)).to(W.dtype)
    G = weights[:, None] * (torch.softmax(H @ W.T + b, dim=1) - onehot) / len(labels)
    return G.T @ H + weight_decay * W, G @ W + feature_decay * H, G.sum(dim=0)
""",
        1,
    ),
    "divides by the sum of the weights": (
        "q3",
        """
def weighted_gradient(W, H, b, labels, weights, weight_decay, feature_decay, bias_decay):
    onehot = torch.nn.functional.one_hot(labels, len(W)).to(W.dtype)
    G = weights[:, None] * (torch.softmax(H @ W.T + b, dim=1) - onehot) / weights.sum()
    return G.T @ H + weight_decay * W, G @ W + feature_decay * H, G.sum(dim=0) + bias_decay * b
""",
        5,
    ),
    "trades as if the decays were equal": (
        "q4",
        """
def trade(W, H, weight_decay, feature_decay):
    t = (H.norm() / W.norm()) ** 0.5
    return t * W, H / t
""",
        2,
    ),
    "trades t squared for t": (
        "q4",
        """
def trade(W, H, weight_decay, feature_decay):
    t = (feature_decay * H.square().sum() / (weight_decay * W.square().sum())) ** 0.5
    return t * W, H / t
""",
        2,
    ),
    "charges one decay and forgets the other": (
        "q5",
        """
def value_from_logits(logits):
    labels = logits.argmax(dim=1)
    G = (torch.softmax(logits, dim=1) - torch.nn.functional.one_hot(labels, logits.shape[1])) / len(labels)
    return torch.nn.functional.cross_entropy(logits, labels) - (G * logits).sum() / 2
""",
        5,
    ),
    "reads the first sample only": (
        "q5",
        """
right_value = value_from_logits
def value_from_logits(logits): return right_value(logits[:1])
""",
        2,
    ),
    "still moves H with the new W": (
        "q6",
        """
def descend(W, H, labels, weight_decay, feature_decay, rate, steps):
    onehot = torch.nn.functional.one_hot(labels, len(W)).to(W.dtype)
    for _ in range(steps):
        G = (torch.softmax(H @ W.T, dim=1) - onehot) / len(labels)
        W = W - rate * (G.T @ H + weight_decay * W)
        H = H - rate * (G @ W + feature_decay * H)
    return W, H
""",
        2,
    ),
    "mends the softmax alone": (
        "q6",
        """
def descend(W, H, labels, weight_decay, feature_decay, rate, steps):
    onehot = torch.nn.functional.one_hot(labels, len(W)).to(W.dtype)
    for _ in range(steps):
        G = (torch.softmax(H @ W.T, dim=1) - onehot) / len(labels)
        W = W - rate * (G.T @ H + feature_decay * W)
        H = H - rate * (G @ W + feature_decay * H)
    return W, H
""",
        5,
    ),
    "never lets the bias free": (
        "q7",
        """
free_or_not = train_squared
def train_squared(K, n, d, weight_decay, feature_decay, bias, seed):
    return free_or_not(K, n, d, weight_decay, feature_decay, False, seed)
""",
        1,
    ),
    "averages the squares over the classes too": (
        "q7",
        """
right = train_squared
def train_squared(K, n, d, weight_decay, feature_decay, bias, seed):
    return right(K, n, d, K * weight_decay, K * feature_decay, bias, seed)
""",
        3,
    ),
    "expects an ETF without a bias": ("q7", "cosine_without_bias = -0.25", 1),
    "shrinks all K directions with a bias too": (
        "q8",
        """
def squared_optimum(K, n, weight_decay, feature_decay, bias):
    Kq = min(1.0, K * math.sqrt(n * weight_decay * feature_decay))
    return Kq - Kq**2 / 2, (1 - Kq) * math.sqrt(n * feature_decay / weight_decay)
""",
        2,
    ),
    "knows no threshold": (
        "q8",
        """
def squared_optimum(K, n, weight_decay, feature_decay, bias):
    Kq = K * math.sqrt(n * weight_decay * feature_decay)
    share = (K - 1) / K if bias else 1.0
    return share * (Kq - Kq**2 / 2), share * (1 - Kq) * math.sqrt(n * feature_decay / weight_decay)
""",
        1,
    ),
    "takes the slope at zero for the threshold": (
        "q10",
        "def threshold(K, L): return (K - 1) / K, 0.0",
        2,
    ),
    "always halves the decay": (
        "q10",
        """
def deep_price(K, n, decays):
    L = len(decays)
    return math.prod(decays) ** (1 / L) * (K - 1) * n ** (1 / L)
""",
        3,
    ),
    "imaginary factors, whose squares are negative": (
        "q7",
        """
honest_squared = train_squared
def train_squared(*args):
    W, H, b = honest_squared(*args)
    zero = torch.zeros(len(W), 1).double(), torch.zeros(len(H), 1).double()
    return torch.cat([W, zero[0] + 9j], 1)[:, 1:], torch.cat([H, zero[1]], 1)[:, 1:], b
""",
        3,
    ),
    "a thousand i times the factors": (
        "q7",
        "honest_squared = train_squared\n"
        "def train_squared(*args): W, H, b = honest_squared(*args); return 1e3j * W, -1e-3j * H, b",
        3,
    ),
}

# What no check can refuse, and why.
SURVIVES = {
    ("q2", "twice as large"): "one check is about the ratio of the decays alone, which is right",
    ("q2", "the parts in reverse order"): "one check is about the product of the decays alone, which is right",
}
