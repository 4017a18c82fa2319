"""Typical wrong answers to assignment 3: the question, the code, and the marks that it should lose."""

WRONG = {
    "divides by the largest singular value": ("q1", "def touching(Z): return Z / torch.linalg.matrix_norm(Z, 2)", 3),
    "prices coordinates together": (
        "q2",
        """
right_prices = prices
def prices(W, H, weight_decay, feature_decay):
    as_is, one, each, any_change = right_prices(W, H, weight_decay, feature_decay)
    return as_is, one, one, any_change
""",
        2,
    ),
    "prices an invertible change by the spectral norm": (
        "q2",
        """
right_prices = prices
def prices(W, H, weight_decay, feature_decay):
    mu = math.sqrt(weight_decay * feature_decay)
    return *right_prices(W, H, weight_decay, feature_decay)[:3], mu * torch.linalg.matrix_norm(H @ W.T, 2)
""",
        1,
    ),
    "forgets the mean over samples": (
        "q3",
        "def recovered_mu(Z, T): return torch.linalg.matrix_norm(torch.softmax(Z, dim=1) - T, 2)",
        3,
    ),
    "takes the Frobenius norm of the residual": (
        "q3",
        "def recovered_mu(Z, T): return torch.linalg.matrix_norm((torch.softmax(Z, dim=1) - T) / len(T))",
        3,
    ),
    "rounds soft targets to labels": (
        "q3",
        """
right_mu = recovered_mu
def recovered_mu(Z, T): return right_mu(Z, torch.nn.functional.one_hot(T.argmax(1), T.shape[1]).double())
""",
        1,
    ),
    "takes the logarithm of zero": (
        "q4",
        "def dual_slope(t, Pi, T): return -((Pi - T) * (T + t * (Pi - T)).log()).sum() / len(T)",
        2,
    ),
    "sums over samples": (
        "q4",
        "def dual_slope(t, Pi, T): return -torch.xlogy(Pi - T, T + t * (Pi - T)).sum()",
        4,
    ),
    "keeps the largest entry for the norm": (
        "q5",
        """
def lower_bound(Z, T, weight_decay, feature_decay):
    Pi = torch.softmax(Z, dim=1)
    scale = min(1.0, float(math.sqrt(weight_decay * feature_decay) / ((Pi - T) / len(T)).abs().max()))
    Pi = T + scale * (Pi - T)
    return -torch.xlogy(Pi, Pi).sum() / len(T)
""",
        3,
    ),
    "moves points that fit": (
        "q5",
        """
def lower_bound(Z, T, weight_decay, feature_decay):
    Pi = torch.softmax(Z, dim=1)
    Pi = T + math.sqrt(weight_decay * feature_decay) / torch.linalg.matrix_norm((Pi - T) / len(T), 2) * (Pi - T)
    return -torch.xlogy(Pi, Pi).sum() / len(T)
""",
        2,
    ),
    "turns the divergence round": (
        "q6",
        """
right_pieces = gap_pieces
def gap_pieces(W, H, T, Pi, weight_decay, feature_decay):
    rho = torch.softmax(H @ W.T, dim=1)
    return *right_pieces(W, H, T, Pi, weight_decay, feature_decay)[:2], (rho * (rho / Pi).log()).sum() / len(T)
""",
        1,
    ),
    "takes the sign of the pairing wrong": (
        "q6",
        """
right_pieces = gap_pieces
def gap_pieces(W, H, T, Pi, weight_decay, feature_decay):
    factors, pairing, answers = right_pieces(W, H, T, Pi, weight_decay, feature_decay)
    return factors, pairing - 2 * ((Pi - T) * (H @ W.T)).sum() / len(T), answers
""",
        1,
    ),
    "never looks beyond t = 1": ("q7", "def best_on_line(Z, T, mu): return lower_bound(Z, T, mu, mu)", 3),
    "always goes to the end of the line": (
        "q7",
        """
def best_on_line(Z, T, mu):
    step = torch.softmax(Z, dim=1) - T
    end = min(float(mu * len(T) / torch.linalg.matrix_norm(step, 2)), float((T / -step)[step < 0].min()))
    best = (T + end * step).clamp(min=0)
    return -torch.xlogy(best, best).sum() / len(T)
""",
        1,
    ),
    "answers for balanced classes": ("q8", "def critical_mu(T): return 1 / math.sqrt(T.shape[1] * len(T))", 3),
    "forgets the softmax at zero": ("q8", "def critical_mu(T): return torch.linalg.matrix_norm(T, 2) / len(T)", 3),
    "swaps the two decays": (
        "q9",
        """
right_training = train_soft
def train_soft(T, d, weight_decay, feature_decay, seed): return right_training(T, d, feature_decay, weight_decay, seed)
""",
        4,
    ),
    "trains on the likeliest label": (
        "q9",
        """
right_training = train_soft
def train_soft(T, d, weight_decay, feature_decay, seed):
    hard = torch.nn.functional.one_hot(T.argmax(1), T.shape[1]).double()
    return right_training(hard, d, weight_decay, feature_decay, seed)
""",
        4,
    ),
    "lets siblings go negative instead of merging": (
        "q11",
        """
def melting(G, g, n, eps, weight_decay, feature_decay):
    K, Kq = G * g, G * g * math.sqrt(n * weight_decay * feature_decay)
    if Kq >= 1:
        return math.log(K), 0
    p = [1 - eps + Kq / K - Kq] + (g - 1) * [eps / (g - 1) + Kq / K] + (K - g) * [Kq / K]
    return -sum(x * math.log(abs(x)) for x in p), K - 1
""",
        3,
    ),
    "spreads the hedge over all classes": (
        "q11",
        """
def melting(G, g, n, eps, weight_decay, feature_decay):
    K = G * g
    t = math.sqrt(n * weight_decay * feature_decay) + eps / K
    if K * t >= 1:
        return math.log(K), 0
    return -(1 - (K - 1) * t) * math.log(1 - (K - 1) * t) - (K - 1) * t * math.log(t), K - 1
""",
        6,
    ),
    "a thousand i times the factors": (
        "q9",
        "honest_soft = train_soft\ndef train_soft(*args): W, H = honest_soft(*args); return 1e3j * W, -1e-3j * H",
        4,
    ),
}

# What no check can refuse, and why.
SURVIVES = {
    ("q6", "the parts in reverse order"): "the check of the second of three parts finds it in its place",
}
