"""Typical wrong answers to assignment 5: the question, the code, and the marks that it should lose."""

WRONG = {
    "forgets the normalisation of the shortcut": (
        "q1",
        """
def bottleneck_parameters(c_in, width, c_out):
    main = c_in * width + 9 * width**2 + width * c_out + 2 * (2 * width + c_out)
    return main + (c_in * c_out if c_in != c_out else 0)
""",
        3,
    ),
    "always counts a shortcut": (
        "q1",
        """
def bottleneck_parameters(c_in, width, c_out):
    return c_in * width + 9 * width**2 + width * c_out + 2 * (2 * width + c_out) + c_in * c_out + 2 * c_out
""",
        3,
    ),
    "repeats the percentage of ResNet18": ("q2", "q2_percent = 20.7", 1),
    "keeps ten features for every number of classes": ("q2", "q2_classes = 512", 1),
    "books a ReLU's output and the next input": (
        "q3",
        """
def activation_bytes(layers, image_shape, batch):
    (channels, height, width), numbers, first = image_shape, 0, True
    for kind, *options in layers:
        size = batch * channels * height * width
        numbers += size if not first else 0
        if kind == "bn":
            numbers += 2 * channels
        if kind == "conv":
            channels, _, stride = options
            height, width = (height - 1) // stride + 1, (width - 1) // stride + 1
        if kind == "relu":
            numbers += size
        first = False
    return 4 * numbers
""",
        4,
    ),
    "multiplies the statistics by the batch": (
        "q3",
        """
booked = activation_bytes
def activation_bytes(layers, image_shape, batch):
    return batch * booked(layers, image_shape, 1)
""",
        4,
    ),
    "knows no end at infinity": (
        "q4",
        """
def largest_batch(F, a, F2, a2, share):
    slope = a2 - (1 - share) * a
    return max(0, math.floor(((1 - share) * F - F2) / slope)) if slope else 0
""",
        1,
    ),
    "rounds up": (
        "q4",
        """
inside_the_share = largest_batch
def largest_batch(F, a, F2, a2, share):
    found = inside_the_share(F, a, F2, a2, share)
    return found + 1 if 0 < found < math.inf else found
""",
        2,
    ),
    "keeps the first inputs of all segments to the end": (
        "q5",
        """
def recompute_peak(inputs, inside, starts):
    ends, outer = [*starts[1:], len(inputs)], sum(inputs[s] for s in starts)
    return max(outer + sum(inside[a:b]) + sum(inputs[a + 1 : b]) for a, b in zip(starts, ends))
def best_starts(inputs, inside):
    cuts = ([0] + [i for i in range(1, len(inputs)) if c >> i & 1] for c in range(0, 2 ** len(inputs), 2))
    return min(cuts, key=lambda starts: recompute_peak(inputs, inside, starts))
""",
        4,
    ),
    "cuts into segments of equal length only": (
        "q5",
        """
def best_starts(inputs, inside):
    n = len(inputs)
    cuts = [list(range(0, n, length)) for length in range(1, n + 1)]
    return min(cuts, key=lambda starts: recompute_peak(inputs, inside, starts))
""",
        2,
    ),
    "forgets the gain in the gradient of the features": (
        "q6",
        """
with_gain = head_gradient
def head_gradient(W, H, labels, bias, gamma):
    value, to_H, to_bias, to_gamma = with_gain(W, H, labels, bias, gamma)
    return value, to_H / math.exp(gamma), to_bias, to_gamma
""",
        2,
    ),
    "lets the gain multiply the bias": (
        "q6",
        """
apart = head_gradient
def head_gradient(W, H, labels, bias, gamma):
    value, to_H, to_bias, to_gamma = apart(W, H, labels, bias, gamma)
    return value, to_H, to_bias, to_gamma + float((to_bias * bias).sum())
""",
        2,
    ),
    "turns nothing": ("q7", "def turn(frame): return torch.eye(frame.shape[1], dtype=frame.dtype)", 4),
    "solves for Q without asking it to be orthogonal": (
        "q7",
        """
def turn(frame):
    K, d = frame.shape
    axes = torch.eye(K, d, dtype=frame.dtype)
    return torch.linalg.pinv(frame, rtol=1e-9) @ (math.sqrt(K / (K - 1)) * (axes - axes.mean(dim=0)))
""",
        2,
    ),
    "still adds in float32": (
        "q8",
        """
def streamed(batches, num_classes):
    sums, counts, squares = torch.zeros(num_classes, batches[0][0].shape[1]), torch.zeros(num_classes), 0.0
    for features, labels in batches:
        member = F.one_hot(labels, num_classes).float()
        sums, counts, squares = sums + member.T @ features, counts + member.sum(dim=0), squares + (features**2).sum()
    means = (sums / counts[:, None]).double()
    return means, float((squares - (counts[:, None] * means**2).sum()) / counts.sum())
""",
        2,
    ),
    "still gives every class the same weight": (
        "q8",
        """
in_proportion = streamed
def streamed(batches, num_classes):
    means, _ = in_proportion(batches, num_classes)
    squares = sum(float((features.double() ** 2).sum()) for features, _ in batches)
    return means, squares / sum(len(labels) for _, labels in batches) - float((means**2).sum(dim=1).mean())
""",
        2,
    ),
    "returns the model in training mode": (
        "q9",
        """
ready = train
def train(images, labels, frame, seed):
    return ready(images, labels, frame, seed).train()
""",
        3,
    ),
    "trains for two steps": (
        "q9",
        """
def train(images, labels, frame, seed):
    torch.manual_seed(seed)
    model = SmallResNet(frame)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval()
""",
        6,
    ),
    "takes the rows of the classifier for the features": (
        "q10",
        "def best_features(W, feature_decay): return W.double().clone()",
        2,
    ),
    "expects what the classifier has": ("q10", "q10_cosine = 0.0", 1),
    "the nearest class mean, with no network": (
        "q9",
        """
class Nearest:
    def __init__(self, images, labels, frame):
        flat = images.flatten(1)
        self.means = torch.stack([flat[labels == k].mean(0) for k in range(len(frame))])
        self.frame = frame
    def features(self, images):
        nearest = torch.cdist(images.flatten(1), self.means).argmin(1)
        return torch.eye(len(self.frame), self.frame.shape[1])[nearest]
    def __call__(self, images):
        return self.features(images) @ self.frame.T
    def state_dict(self):
        return {"means": self.means}
def train(images, labels, frame, seed):
    return Nearest(images, labels, frame)
""",
        6,
    ),
    "the nearest class mean on an untrained network": (
        "q9",
        """
class Untrained(SmallResNet):
    def fit(self, images, labels):
        flat = images.flatten(1)
        self.means = torch.stack([flat[labels == k].mean(0) for k in range(len(self.frame))])
        return self
    def features(self, images):
        nearest = torch.cdist(images.flatten(1), self.means).argmin(1)
        return torch.eye(len(self.frame), self.frame.shape[1])[nearest]
def train(images, labels, frame, seed):
    return Untrained(frame).fit(images, labels).eval()
""",
        6,
    ),
}
