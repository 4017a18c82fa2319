"""Typical wrong answers to assignment 6: the question, the code, and the marks that it should lose."""

WRONG = {
    "shrinks the entries instead of the singular values": (
        "q1",
        "def shrink(Z, price): return torch.sign(Z) * (Z.abs() - price).clamp(min=0)",
        3,
    ),
    "keeps what is large whole": (
        "q1",
        """
def shrink(Z, price):
    left, sizes, right = torch.linalg.svd(Z, full_matrices=False)
    return (left * torch.where(sizes > price, sizes, 0)) @ right
""",
        3,
    ),
    "lets small sizes go negative": (
        "q1",
        """
def shrink(Z, price):
    left, sizes, right = torch.linalg.svd(Z, full_matrices=False)
    return (left * (sizes - price)) @ right
""",
        3,
    ),
    "lets dead classes have a negative length": (
        "q2",
        """
def squared_minimum(counts, weight_decay, feature_decay):
    roots = torch.tensor(counts, dtype=torch.float64).sqrt()
    N, mu = sum(counts), math.sqrt(weight_decay * feature_decay)
    kept = roots - N * mu
    value = ((roots - kept) ** 2 / (2 * N) + mu * kept).sum()
    return float(value), kept * math.sqrt(feature_decay / weight_decay)
""",
        3,
    ),
    "takes the decays for equal": (
        "q2",
        """
right_minimum = squared_minimum
def squared_minimum(counts, a, c):
    return right_minimum(counts, (a * c) ** 0.5, (a * c) ** 0.5)
""",
        2,
    ),
    "takes all classes for equally large": (
        "q2",
        """
right_sizes = squared_minimum
def squared_minimum(counts, weight_decay, feature_decay):
    value, lengths = right_sizes([sum(counts) / len(counts)] * len(counts), weight_decay, feature_decay)
    return value, lengths
""",
        5,
    ),
    "forgets the root": (
        "q3",
        "def deadly_mu(counts): return torch.tensor(counts, dtype=torch.float64) / sum(counts)",
        2,
    ),
    "forgets that the new samples count": (
        "q3",
        """
def fewest_samples(A, n, B, mu):
    return math.floor((A * n * mu) ** 2) + 1
""",
        2,
    ),
    "gives the gradient of cross-entropy": (
        "q4",
        """
def focal_gradient(Z, labels, gamma):
    return (torch.softmax(Z, dim=1) - torch.nn.functional.one_hot(labels, Z.shape[1])) / len(Z)
""",
        4,
    ),
    "holds the focus fixed": (
        "q4",
        """
def focal_gradient(Z, labels, gamma):
    P = torch.softmax(Z, dim=1)
    rest = 1 - P.gather(1, labels[:, None])
    return rest**gamma * (P - torch.nn.functional.one_hot(labels, Z.shape[1])) / len(Z)
""",
        4,
    ),
    "takes the logarithm of what has vanished": (
        "q4",
        """
def focal_gradient(Z, labels, gamma):
    P = torch.softmax(Z.float(), dim=1)
    p = P.gather(1, labels[:, None])
    factor = (1 - p) ** gamma - gamma * p * (1 - p) ** (gamma - 1) * torch.log(p)
    return (factor * (P - torch.nn.functional.one_hot(labels, Z.shape[1])) / len(Z)).double()
""",
        2,
    ),
    "smooths towards the other classes only": (
        "q5",
        """
right_smoothed = smoothed_optimum
def smoothed_optimum(K, n, alpha, weight_decay, feature_decay):
    return right_smoothed(K, n, alpha * K / (K - 1), weight_decay, feature_decay)
""",
        2,
    ),
    "forgets what the targets pay": (
        "q5",
        """
right_margin = smoothed_optimum
def smoothed_optimum(K, n, alpha, weight_decay, feature_decay):
    s, value = right_margin(K, n, alpha, weight_decay, feature_decay)
    return s, value - alpha * (K - 1) / K * s
""",
        2,
    ),
    "knows no threshold": (
        "q5",
        """
def smoothed_optimum(K, n, alpha, weight_decay, feature_decay):
    q = math.sqrt(n * weight_decay * feature_decay)
    s = math.log(max(1 / (q + alpha / K) - (K - 1), 1e-12))
    return s, math.log1p((K - 1) * math.exp(-s)) + alpha * (K - 1) / K * s + q * (K - 1) * s
""",
        2,
    ),
    "mends the softmax alone": (
        "q6",
        """
def proximal_descent(Z, labels, mu, rate, steps):
    target = torch.nn.functional.one_hot(labels, Z.shape[1]).to(Z.dtype)
    for _ in range(steps):
        Z = Z - rate * (torch.softmax(Z, dim=1) - target) / len(Z)
        left, sizes, right = torch.linalg.svd(Z, full_matrices=False)
        Z = (left * torch.where(sizes > mu, sizes, 0)) @ right
    return Z
""",
        4,
    ),
    "shrinks by the price, whatever the rate": (
        "q6",
        """
def proximal_descent(Z, labels, mu, rate, steps):
    target = torch.nn.functional.one_hot(labels, Z.shape[1]).to(Z.dtype)
    for _ in range(steps):
        Z = Z - rate * (torch.softmax(Z, dim=1) - target) / len(Z)
        left, sizes, right = torch.linalg.svd(Z, full_matrices=False)
        Z = (left * (sizes - mu).clamp(min=0)) @ right
    return Z
""",
        4,
    ),
    "the end of the path in one stroke": (
        "q6",
        """
right_path = proximal_descent
def proximal_descent(Z, labels, mu, rate, steps):
    return right_path(torch.zeros_like(Z), labels, mu, float(len(Z)), 400)
""",
        2,
    ),
    "divides by the sum of the weights": (
        "q7",
        """
right_weighted = train_weighted
def train_weighted(labels, weights, *others):
    return right_weighted(labels, weights / weights[labels].mean(), *others)
""",
        4,
    ),
    "does not weigh": (
        "q7",
        """
right_weighted = train_weighted
def train_weighted(labels, weights, *others):
    return right_weighted(labels, torch.ones_like(weights), *others)
""",
        4,
    ),
    "swaps the decays": (
        "q7",
        """
right_weighted = train_weighted
def train_weighted(labels, weights, d, weight_decay, feature_decay, seed):
    return right_weighted(labels, weights, d, feature_decay, weight_decay, seed)
""",
        4,
    ),
    "a thousand i times the factors": (
        "q7",
        """
right_weighted = train_weighted
def train_weighted(*args):
    W, H = right_weighted(*args)
    return 1e3j * W, -1e-3j * H
""",
        4,
    ),
    "does not centre the labels": (
        "q8",
        """
def limit_grams(counts):
    n = torch.tensor(counts, dtype=torch.float64)
    return torch.diag(n.sqrt()), torch.diag(1 / n.sqrt())
right_angle = 1.0
""",
        4,
    ),
    "gives both the same Gram matrix": (
        "q8",
        """
right_grams = limit_grams
def limit_grams(counts):
    return right_grams(counts)[:1] * 2
""",
        1,
    ),
    "forgets the weights": (
        "q10",
        """
def group_thresholds(A, n, B, m, frequent_weight, rare_weight):
    N = A * n + B * m
    return math.sqrt(n) / N, math.sqrt(m) / N
""",
        3,
    ),
    "one over the number of samples, as usual": (
        "q10",
        "def fair_weights(counts): return torch.tensor([sum(counts) / len(counts) / c for c in counts])",
        3,
    ),
    "forgets to scale": (
        "q10",
        "def fair_weights(counts): return 1 / torch.tensor(counts, dtype=torch.float64).sqrt()",
        3,
    ),
}

# What no check can refuse, and why.
SURVIVES = {
    ("q2", "the mean in the right form"): "two checks are about the minimum alone, which is right",
    ("q2", "the first entry for all"): "two checks are about the minimum alone, which is right",
}
