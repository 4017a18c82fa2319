"""The loaders, on digits, on small files in the layouts of MNIST and CIFAR-10, and on folders of images."""

import gzip
import hashlib
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ncbook import data


def _no_network(*_args, **_kwargs):
    raise urllib.error.URLError("no network in a test")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", _no_network)


def _idx(array: np.ndarray) -> bytes:
    sizes = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


def _write_mnist(root: Path, packed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Six training and four test images of 28 x 28 in torchvision's layout; returns the training half."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for half, labels in (("t10k", np.arange(10)), ("train", np.arange(20) % 10)):
        images = rng.integers(0, 256, (len(labels), 28, 28))
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = _idx(array)
            name = raw / f"{half}-{kind}-ubyte{'.gz' if packed else ''}"
            name.write_bytes(gzip.compress(content) if packed else content)
    return images, labels


def _write_folder(root: Path, halves: tuple[str, ...], counts: dict[str, int], size=(6, 6)) -> None:
    for half in halves:
        for k, (name, count) in enumerate(counts.items()):
            folder = root / half / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", size, (10 * k, i, 255)).save(folder / f"{i:03d}.png")


class TestDigits:
    def test_training_half_is_balanced_and_ordered_by_class(self):
        digits = data.load()
        assert digits.images.shape == (1400, 1, 8, 8)
        assert torch.equal(digits.labels, torch.arange(10).repeat_interleave(140))
        assert digits.num_classes == 10 and digits.image_shape == (1, 8, 8)

    def test_training_and_test_halves_are_all_of_the_digits_and_share_none(self):
        from sklearn.datasets import load_digits

        digits = data.load("digits", seed=3)
        seen = torch.cat([digits.images, digits.test_images]).reshape(-1, 64) * 16
        labelled = torch.cat([seen, torch.cat([digits.labels, digits.test_labels])[:, None].float()], dim=1)
        whole = np.c_[load_digits().data, load_digits().target]
        order = lambda rows: rows[np.lexsort(rows.T)]
        assert np.array_equal(order(labelled.numpy().astype(float)), order(whole))

    def test_pixels_span_zero_to_one(self):
        digits = data.load()
        assert digits.images.dtype == torch.float32
        assert (float(digits.images.min()), float(digits.images.max())) == (0.0, 1.0)

    def test_seed_draws_the_samples(self):
        assert torch.equal(data.load(seed=1).images, data.load(seed=1).images)
        assert not torch.equal(data.load(seed=1).images, data.load(seed=2).images)

    def test_chosen_classes_keep_their_samples_under_new_labels(self):
        whole, part = data.load(), data.load(classes=[7, 2])
        assert part.class_names == ("7", "2")
        assert torch.equal(part.images[part.labels == 0], whole.images[whole.labels == 7])
        assert torch.equal(part.test_images[part.test_labels == 1], whole.test_images[whole.test_labels == 2])

    def test_samples_not_drawn_are_the_test_half(self):
        digits = data.load(samples_per_class=5)
        assert len(digits.images) == 50 and len(digits.test_images) == 1797 - 50

    @pytest.mark.parametrize(
        ("options", "names"),
        [
            (dict(source="mnits"), "source"),
            (dict(classes=[0]), "classes"),
            (dict(classes=[0, 0]), "classes"),
            (dict(classes=[0, 10]), "classes"),
            (dict(classes=[0, -1]), "classes"),
            (dict(samples_per_class=0), "samples_per_class"),
            (dict(samples_per_class=180), "samples_per_class"),
            (dict(image_size=0), "image_size"),
            (dict(seed=-1), "seed"),
        ],
    )
    def test_bad_arguments_are_named(self, options, names):
        with pytest.raises(ValueError, match=f"^{names}"):
            data.load(**options)


class TestLabelNoise:
    def test_class_sizes_survive(self):
        noisy = data.load().with_label_noise(0.5)
        assert torch.equal(noisy.labels.bincount(), torch.full((10,), 140))

    def test_about_the_fraction_less_a_tenth_is_wrong(self):
        clean = data.load()
        wrong = float((clean.with_label_noise(0.4).labels != clean.labels).double().mean())
        # 560 labels shuffled among ten classes: 0.36 expected, standard deviation 0.3/sqrt(560) * 0.4 = 0.005.
        assert abs(wrong - 0.36) < 0.03

    def test_no_noise_changes_nothing_and_images_and_test_half_stay(self):
        clean = data.load()
        noisy = clean.with_label_noise(1.0)
        assert torch.equal(clean.with_label_noise(0.0).labels, clean.labels)
        assert torch.equal(noisy.images, clean.images) and torch.equal(noisy.test_labels, clean.test_labels)

    @pytest.mark.parametrize(
        ("fraction", "seed", "names"), [(1.1, 0, "fraction"), (-0.1, 0, "fraction"), (0.1, -1, "seed")]
    )
    def test_bad_arguments_are_named(self, fraction, seed, names):
        with pytest.raises(ValueError, match=f"^{names}"):
            data.load().with_label_noise(fraction, seed)


class TestMnist:
    @pytest.mark.parametrize("packed", [True, False])
    def test_reads_torchvisions_layout(self, tmp_path, packed):
        images, labels = _write_mnist(tmp_path, packed)
        mnist = data.load("mnist", root=tmp_path)
        assert mnist.images.shape == (20, 1, 28, 28) and mnist.test_images.shape == (10, 1, 28, 28)
        order = np.argsort(labels, kind="stable")
        assert torch.equal(mnist.images[:, 0], torch.from_numpy(images[order]).float() / 255)
        assert torch.equal(mnist.labels, torch.from_numpy(labels[order]))

    def test_agrees_with_torchvision_on_the_same_files(self, tmp_path):
        from torchvision.datasets import MNIST

        _write_mnist(tmp_path, packed=False)
        theirs = MNIST(tmp_path, train=True)
        ours = data.load("mnist", root=tmp_path)
        assert torch.equal(ours.images[:, 0], theirs.data[theirs.targets.argsort(stable=True)] / 255)

    def test_downloads_each_archive_and_checks_its_sum(self, tmp_path, monkeypatch):
        from torchvision.datasets import MNIST, utils

        _write_mnist(tmp_path / "server", packed=True)
        server = tmp_path / "server" / "MNIST" / "raw"
        sums = [(p.name, hashlib.md5(p.read_bytes()).hexdigest()) for p in sorted(server.iterdir())]
        monkeypatch.setattr(MNIST, "resources", sums)
        monkeypatch.setattr(MNIST, "mirrors", ["https://unreachable.invalid/", "https://mirror.invalid/"])
        asked = []

        def fetch(url, path):
            asked.append(url)
            if "unreachable" in url:
                raise urllib.error.URLError("unreachable")
            Path(path).write_bytes((server / Path(path).name).read_bytes())

        monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
        monkeypatch.setattr(utils, "_urlretrieve", fetch)
        assert len(data.load("mnist", root=tmp_path / "here").images) == 20
        assert {url.rsplit("/", 1)[1] for url in asked} == {name for name, _ in sums}

    def test_a_download_that_fails_its_checksum_is_refused_and_removed(self, tmp_path, monkeypatch):
        from torchvision.datasets import utils

        monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
        monkeypatch.setattr(utils, "_urlretrieve", lambda url, path: Path(path).write_bytes(b"not MNIST"))
        with pytest.raises(data.DataUnavailable, match="corrupted"):
            data.load("mnist", root=tmp_path)
        assert not list((tmp_path / "MNIST" / "raw").iterdir())

    @pytest.mark.parametrize(
        "content",
        [b"", b"\x1f\x8b garbage", gzip.compress(b"\0\0\x08\x03short"), gzip.compress(_idx(np.zeros((9, 2, 2))))[:-9]],
        ids=["empty", "not gzip", "header cut short", "archive cut short"],
    )
    def test_a_damaged_file_is_named(self, tmp_path, content):
        _write_mnist(tmp_path, packed=True)
        (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(content)
        with pytest.raises(data.DataUnavailable, match=r"train-images-idx3-ubyte\.gz is damaged"):
            data.load("mnist", root=tmp_path)


class TestOffline:
    @pytest.mark.parametrize("source", ["mnist", "cifar10"])
    @pytest.mark.parametrize("download", [True, False])
    def test_error_names_the_three_ways_out(self, tmp_path, source, download):
        with pytest.raises(data.DataUnavailable) as caught:
            data.load(source, root=tmp_path, download=download)
        message = str(caught.value)
        assert "Three ways out" in message
        assert 'data.load("digits")' in message and "root=" in message and 'data.load("FOLDER")' in message
        assert str(tmp_path) in message


class TestCifar10:
    def test_reads_torchvisions_layout(self, tmp_path, monkeypatch):
        from torchvision.datasets import CIFAR10

        folder = tmp_path / CIFAR10.base_folder
        folder.mkdir()
        pixels = np.arange(20 * 3072).reshape(20, 3072) % 251
        batches = {"data_batch_1": pixels, "test_batch": pixels[:10]}

        def write(name, content):
            (folder / name).write_bytes(pickle.dumps(content))
            return hashlib.md5((folder / name).read_bytes()).hexdigest()

        sums = {
            name: write(name, {"data": rows.astype(np.uint8), "labels": [i % 10 for i in range(len(rows))]})
            for name, rows in batches.items()
        }
        names = [f"class {k}" for k in range(10)]
        monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
        monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
        meta = dict(filename="batches.meta", key="label_names", md5=write("batches.meta", {"label_names": names}))
        monkeypatch.setattr(CIFAR10, "meta", meta)
        cifar = data.load("cifar10", root=tmp_path)
        assert cifar.images.shape == (20, 3, 32, 32) and cifar.class_names == tuple(names)
        # Rows are channel, then height, then width; class 3 holds samples 3 and 13, in this order.
        expected = torch.from_numpy(pixels[[3, 13]]).float().reshape(2, 3, 32, 32) / 255
        assert torch.equal(cifar.images[cifar.labels == 3], expected)


class TestFolder:
    def test_train_and_test_folders(self, tmp_path):
        _write_folder(tmp_path, ("train", "test"), {"ant": 3, "bee": 4})
        images = data.load(tmp_path)
        assert images.class_names == ("ant", "bee")
        assert images.labels.tolist() == [0] * 3 + [1] * 4
        assert images.image_shape == (3, 6, 6)
        assert torch.equal(images.images[3, :, 0, 0] * 255, torch.tensor([10.0, 0.0, 255.0]))

    def test_a_fifth_is_held_out_where_there_is_no_test_folder(self, tmp_path):
        _write_folder(tmp_path, ("",), {"ant": 10, "bee": 10})
        images = data.load(tmp_path)
        assert images.labels.bincount().tolist() == [8, 8]
        assert images.test_labels.bincount().tolist() == [2, 2]
        green = lambda x: set((x[:, 1, 0, 0] * 255).int().tolist())
        assert not green(images.images[images.labels == 0]) & green(images.test_images[images.test_labels == 0])

    def test_images_are_resized(self, tmp_path):
        _write_folder(tmp_path, ("train", "test"), {"ant": 2, "bee": 2}, size=(9, 5))
        assert data.load(str(tmp_path), image_size=4).image_shape == (3, 4, 4)

    def test_unequal_sizes_ask_for_a_size(self, tmp_path):
        _write_folder(tmp_path, ("train", "test"), {"ant": 2, "bee": 2})
        Image.new("RGB", (7, 7)).save(tmp_path / "train" / "bee" / "large.png")
        with pytest.raises(ValueError, match=r"^image_size"):
            data.load(tmp_path)

    @pytest.mark.parametrize("halves", [("train",), ("",)])
    def test_missing_halves_or_classes_are_named(self, tmp_path, halves):
        _write_folder(tmp_path, halves, {"ant": 2})
        with pytest.raises(ValueError, match=r"^source"):
            data.load(tmp_path)

    def test_an_empty_class_is_named(self, tmp_path):
        _write_folder(tmp_path, ("train", "test"), {"ant": 1, "bee": 1, "cat": 0})
        with pytest.raises(ValueError, match=r"^source.*cat"):
            data.load(tmp_path)


def test_image_data_refuses_labels_that_do_not_fit():
    images, labels = torch.zeros(2, 1, 3, 3), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"^labels"):
        data.ImageData("x", images, labels[:1], images, labels, ("a", "b"))
    with pytest.raises(ValueError, match=r"^test_labels"):
        data.ImageData("x", images, labels, images, labels + 1, ("a", "b"))
    with pytest.raises(ValueError, match=r"^test_images"):
        data.ImageData("x", images, labels, torch.zeros(2, 3, 3, 3), labels, ("a", "b"))
