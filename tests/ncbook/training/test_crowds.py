"""Training a crowd trains each network as if it were alone; Muon on a stack is torch's Muon on each matrix."""

import pytest
import torch

from ncbook.models import Crowd
from ncbook.training import StackedMuon, fit_crowd, newton_schulz

DRAW = torch.Generator().manual_seed(0)
X, Y = torch.rand(24, 6, generator=DRAW), torch.arange(24) % 3


def trained(crowd, epochs=3, batch=24, rate=0.1, **options):
    fit_crowd(crowd, X, Y, torch.optim.SGD(crowd.parameters(), rate, momentum=0.9), epochs, batch, **options)
    return crowd


def test_a_network_does_not_feel_the_others():
    # In one batch of all samples the order does not matter, so a crowd of one can be compared with a crowd of three.
    crowd, one = Crowd(3, 6, (5,), 3), Crowd(1, 6, (5,), 3)
    with torch.no_grad():
        for a, b in zip(one.parameters(), crowd.parameters()):
            a.copy_(b[1:2])
    trained(crowd), trained(one)
    for a, b in zip(one.parameters(), crowd.parameters()):
        torch.testing.assert_close(a[0], b[1], rtol=1e-4, atol=1e-5)  # summed in another order in float32


def test_orders_differ_between_networks_and_repeat_with_the_seed():
    same = Crowd(2, 6, (5,), 3)
    with torch.no_grad():
        for part in same.parameters():
            part[1] = part[0]
    first = trained(same, batch=6, seed=1).weights[0].detach().clone()
    assert not torch.equal(first[0], first[1])
    again = Crowd(2, 6, (5,), 3)
    with torch.no_grad():
        for part in again.parameters():
            part[1] = part[0]
    assert torch.equal(trained(again, batch=6, seed=1).weights[0], first)


@pytest.mark.parametrize("cosine, last", [(True, 0.0), (False, 0.1)])
def test_the_watch_sees_every_epoch_and_the_rate_falls_to_zero(cosine, last):
    crowd, seen = Crowd(2, 6, (5,), 3), []
    search = torch.optim.SGD(crowd.parameters(), 0.1)
    fit_crowd(crowd, X, Y, search, 4, 10, cosine=cosine, watch=seen.append)
    assert seen == [0, 1, 2, 3, 4]
    assert search.param_groups[0]["lr"] == pytest.approx(last, abs=1e-12)


def test_several_optimisers_share_the_parameters_out():
    crowd = Crowd(2, 6, (5,), 3)
    before = [p.detach().clone() for p in crowd.parameters()]
    first, *rest = crowd.parameters()
    fit_crowd(crowd, X, Y, [StackedMuon([first]), torch.optim.SGD(rest, 0.1)], 1, 12)
    assert all(not torch.equal(a, b) for a, b in zip(before, crowd.parameters()))


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at most the number of inputs, 24"):
        trained(Crowd(1, 6, (5,), 3), batch=25)


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (1, 5)])
def test_stacked_muon_is_torch_muon_on_every_slice(shape):
    stack = torch.randn(2, *shape, generator=DRAW)
    grads = torch.randn(4, 2, *shape, generator=DRAW)
    ours = torch.nn.Parameter(stack.clone())
    theirs = [torch.nn.Parameter(s.clone()) for s in stack]
    options = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.95}
    search, other = StackedMuon([ours], **options), torch.optim.Muon(theirs, **options)
    for grad in grads:
        ours.grad = grad
        for p, g in zip(theirs, grad):
            p.grad = g.clone()
        search.step(), other.step()
    moved = (ours - stack).norm()
    # torch rounds the matrices to bfloat16, eight bits
    assert (ours - torch.stack([*theirs])).norm() < 0.1 * moved


def test_newton_schulz_keeps_singular_vectors_and_zero_row_sums():
    M = torch.randn(5, 9, generator=DRAW, dtype=torch.float64)
    M -= M.mean(0)
    X = newton_schulz(M)
    assert X.sum(0).abs().max() < 1e-13
    s = torch.linalg.svdvals(X)[:4]  # the fifth is zero, and stays
    assert s.min() > 0.6 and s.max() < 1.25  # the published coefficients' range
    commuted = X @ M.T  # symmetric where the singular vectors are the same
    torch.testing.assert_close(commuted, commuted.T)
    torch.testing.assert_close(newton_schulz(M.T), X.T)
