"""The ResNets: counts, names, shapes, the frame behind a ReLU, and recomputed blocks that change no number."""

import copy
from itertools import permutations

import pytest
import torch
import torchvision
from torch.nn.functional import cross_entropy

from ncbook import etf, models
from ncbook.models.resnet import backbone


def trainable(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def small(**options):
    return models.resnet18(**{"num_classes": 4, "feature_dim": 16, "width": 2, "channels": 1} | options)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 1, 16, 16, generator=generator), torch.tensor([0, 1, 2, 3, 0, 1])


class TestCounts:
    @pytest.mark.parametrize(
        ("stem", "classifier", "feature_dim", "count"),
        [
            ("imagenet", "learned", 512, 11_181_642),
            ("imagenet", "etf", 512, 11_176_522),
            ("imagenet", "learned", 10, 8_867_542),
            ("imagenet", "etf", 10, 8_867_442),
            ("cifar", "learned", 512, 11_173_962),
            ("cifar", "learned", 10, 8_859_862),
        ],
    )
    def test_resnet18(self, stem, classifier, feature_dim, count):
        assert trainable(models.resnet18(10, feature_dim, classifier, stem)) == count

    @pytest.mark.parametrize(("feature_dim", "count"), [(2048, 23_528_522), (10, 22_481_110)])
    def test_resnet50(self, feature_dim, count):
        assert trainable(models.resnet50(10, feature_dim, stem="imagenet")) == count

    def test_the_narrow_end_saves_the_convolution_minus_the_shortcut_by_hand(self):
        K, d = 10, 10
        saved = 9 * 512 * (512 - d) - 512 * d  # 3 x 3 convolution to d instead of 512 channels; new 1 x 1 shortcut
        saved += 2 * (512 - d) - 2 * d  # the batch normalisations after them
        saved += K * (512 - d)  # the classifier
        assert trainable(models.resnet18(K)) - trainable(models.resnet18(K, d)) == saved


class TestSameAsTorchvision:
    @pytest.mark.parametrize(("depth", "feature_dim"), [(18, 512), (50, 2048)])
    def test_names_and_shapes(self, depth, feature_dim):
        theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=10).state_dict()
        ours = backbone(depth, feature_dim, stem="imagenet").state_dict()
        assert {k: v.shape for k, v in ours.items()} == {
            k: v.shape for k, v in theirs.items() if not k.startswith("fc.")
        }

    def test_features_and_logits(self):
        theirs = torchvision.models.resnet18(num_classes=5).eval()
        ours = models.resnet18(5, stem="imagenet").eval()
        weights = theirs.state_dict()
        ours.classifier.load_state_dict({"weight": weights.pop("fc.weight"), "bias": weights.pop("fc.bias")})
        ours.backbone.load_state_dict(weights)
        images = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert torch.equal(ours(images), theirs(images))  # the same operations in the same order


class TestShapes:
    @pytest.mark.parametrize("stem", ["cifar", "imagenet"])
    @pytest.mark.parametrize("feature_dim", [3, 16])
    def test_features_are_not_negative_and_have_d_entries(self, stem, feature_dim, batch):
        model = small(stem=stem, feature_dim=feature_dim)
        features = model.features(batch[0])
        assert features.shape == (6, feature_dim) and model.feature_dim == feature_dim
        assert float(features.detach().min()) >= 0

    def test_a_narrow_last_stage(self, batch):
        model = small(last_width=8, feature_dim=8)
        assert model(batch[0]).shape == (6, 4)
        assert trainable(model) < trainable(small(feature_dim=8))

    def test_resnet50_runs(self, batch):
        model = models.resnet50(4, 5, width=2, channels=1)
        assert model(batch[0]).shape == (6, 4)

    def test_seed_decides_the_weights_and_leaves_the_global_state(self):
        before = torch.random.get_rng_state()
        first, same, other = (small(seed=s).state_dict() for s in (1, 1, 2))
        assert torch.equal(before, torch.random.get_rng_state())
        assert all(torch.equal(first[k], same[k]) for k in first)
        assert not torch.equal(first["backbone.conv1.weight"], other["backbone.conv1.weight"])

    @pytest.mark.parametrize(
        ("options", "names"),
        [
            (dict(stem="mnist"), "stem"),
            (dict(classifier="frozen"), "classifier"),
            (dict(feature_dim=0), "feature_dim"),
            (dict(width=0), "width"),
            (dict(last_width=0), "last_width"),
            (dict(channels=0), "channels"),
            (dict(num_classes=1), "num_classes"),
            (dict(classifier="etf", feature_dim=3), "feature_dim"),  # K = 4 behind a ReLU
        ],
    )
    def test_bad_values_are_named(self, options, names):
        with pytest.raises(ValueError, match=f"^{names}"):
            small(**options)

    def test_other_depths_are_refused(self):
        with pytest.raises(ValueError, match=r"^depth"):
            backbone(34, 512)


class TestFrameBehindAReLU:
    @pytest.mark.parametrize("feature_dim", [4, 7])
    def test_it_is_a_simplex_etf_that_every_class_can_reach(self, feature_dim):
        W = models.ETFClassifier(4, feature_dim, nonnegative=True).weight.double()
        assert float(etf.etf_distance(W)) < 1e-6  # float32
        assert torch.allclose(W.norm(dim=1), torch.ones(4, dtype=torch.float64), atol=1e-6)
        logits = W @ torch.eye(feature_dim, 4, dtype=torch.float64)  # column k: the feature e_k >= 0
        margins = logits.diagonal() - (logits - 9 * torch.eye(4)).max(dim=0).values
        assert torch.allclose(margins, torch.full((4,), (4 / 3) ** 0.5, dtype=torch.float64), atol=1e-6)

    def test_in_the_default_orientation_class_0_beats_class_1_for_every_non_negative_feature(self):
        W = models.ETFClassifier(10, 10).weight
        assert float((W[0] - W[1]).min()) >= 0

    def test_a_network_that_ends_in_a_relu_gets_this_frame(self):
        for model in (small(classifier="etf", feature_dim=4), models.mlp(3, 4, relu_features=True, classifier="etf")):
            W = model.classifier.weight
            for k, j in permutations(range(4), 2):
                assert float((W[k] - W[j])[k]) > 1

    def test_it_cannot_also_be_turned(self):
        with pytest.raises(ValueError, match=r"^generator"):
            models.ETFClassifier(4, 5, nonnegative=True, generator=torch.Generator())


class TestWhatOfTheFrameIsTrained:
    def test_nothing_by_default(self):
        assert list(models.ETFClassifier(4, 4).parameters()) == []

    def test_a_factor_of_all_rows(self):
        layer = models.ETFClassifier(4, 4, learn_scale=True)
        before = layer.weight.detach().clone()
        (gain,) = layer.parameters()
        layer(torch.eye(4))[0, 0].backward()
        assert float(gain.grad) == pytest.approx(float(before[0, 0]))  # d exp(g) w / dg at g = 0
        with torch.no_grad():
            gain.add_(1)
        assert torch.allclose(layer.weight, before * torch.e)

    def test_the_bias(self):
        layer = models.ETFClassifier(4, 4, learn_bias=True)
        assert [name for name, _ in layer.named_parameters()] == ["bias"]

    def test_a_state_can_be_saved_and_loaded(self):
        layer = models.ETFClassifier(4, 4, learn_scale=True, learn_bias=True, scale=2.0)
        other = models.ETFClassifier(4, 4, learn_scale=True, learn_bias=True)
        other.load_state_dict(layer.state_dict())
        assert torch.equal(layer.weight, other.weight)


class TestRecompute:
    def test_gradients_and_running_statistics_are_the_same_bit_for_bit(self, batch):
        plain = small()
        thrifty = copy.deepcopy(plain)
        thrifty.backbone.recompute = True
        for model in (plain, thrifty):
            cross_entropy(model(batch[0]), batch[1]).backward()
        for (name, p), q in zip(plain.named_parameters(), thrifty.parameters()):
            assert torch.equal(p.grad, q.grad), name
        for (name, b), c in zip(plain.named_buffers(), thrifty.buffers()):
            assert torch.equal(b, c), name

    def test_it_does_keep_less(self, batch):
        def kept(recompute):
            sizes = []
            with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
                small(recompute=recompute)(batch[0])
            return sum(sizes)

        assert kept(True) < 0.5 * kept(False)

    def test_evaluation_is_the_same(self, batch):
        model = small().eval()
        with torch.no_grad():
            before = model(batch[0])
            model.backbone.recompute = True
            assert torch.equal(before, model(batch[0]))
