"""A crowd is its networks, one by one."""

import torch

from ncbook.models import Crowd
from ncbook.models.networks import EPS

X = torch.rand(30, 6, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def alone(crowd, i, x, like):
    """Network ``i`` of the crowd with torch's own layers."""
    for j, (weight, bias) in enumerate(zip(crowd.weights, crowd.biases)):
        x, like = (torch.nn.functional.linear(z, weight[i]) for z in (x, like))
        if j < len(crowd.gains):
            mean, var = like.mean(0), like.var(0, correction=0)
            norm = lambda z: torch.nn.functional.batch_norm(z, mean, var, crowd.gains[j][i, 0], bias[i, 0], eps=EPS)  # noqa: B023
            x, like = norm(x), norm(like)
        else:
            x, like = x + bias[i], like + bias[i]
        if j + 1 < len(crowd.weights):
            x, like = x.relu(), like.relu()
    return x


def test_each_slice_is_a_perceptron_of_its_own():
    for normalise in (True, False):
        crowd = Crowd(3, 6, (5, 4), 3, normalise=normalise, seed=1)
        with torch.no_grad():
            for part in (*crowd.biases, *crowd.gains):
                part.uniform_(0.5, 1.5)
        for i in range(3):
            # float32, three layers: a few units in the last place of numbers of size ten
            torch.testing.assert_close(crowd(X)[i], alone(crowd, i, X, X), rtol=1e-4, atol=1e-5)
            seen = crowd.layers(X[:4], X)[-1][i]
            torch.testing.assert_close(seen, alone(crowd, i, X[:4], X), rtol=1e-4, atol=1e-5)


def test_layers_are_the_blocks_and_the_logits():
    shapes = [tuple(layer.shape) for layer in Crowd(2, 6, (5, 4), 3).layers(X)]
    assert shapes == [(2, 30, 5), (2, 30, 4), (2, 30, 3)]
    own = torch.stack([X, X.flip(0)])
    crowd = Crowd(2, 6, (5,), 3)
    torch.testing.assert_close(crowd(own)[1], crowd(X.flip(0))[1])


def test_networks_start_apart_and_a_seed_starts_them_again():
    crowd, again = Crowd(2, 6, (5,), 3, seed=4), Crowd(2, 6, (5,), 3, seed=4)
    assert not torch.equal(crowd.weights[0][0], crowd.weights[0][1])
    assert all(torch.equal(a, b) for a, b in zip(crowd.parameters(), again.parameters()))
    large = Crowd(2, 6, (5,), 3, seed=4, scale=3.0)
    torch.testing.assert_close(large.weights[0], 3 * crowd.weights[0])
