"""Images and labels as tensors: digits (no download), MNIST, CIFAR-10, or a folder of images.

Everything comes as one `ImageData`: float images in [0, 1], a training half with equally many samples of each class
where asked for, and a test half that no network is trained on.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncbook import checks
from ncbook._lazy import optional

CACHE = Path("~/.cache/ncbook")  # where downloads go unless `root` says otherwise
DIGITS_PER_CLASS = 140  # the rarest digit has 174 images: 140 leave at least 34 for testing

Pairs = tuple[np.ndarray, np.ndarray]  # images (N, C, height, width) of any dtype, labels (N,)


class DataUnavailable(RuntimeError):
    """The data is neither on this machine nor could it be downloaded; the message names the ways out."""


@dataclass(frozen=True)
class ImageData:
    """A classification data set in memory.

    ``images`` (N, C, height, width) and ``test_images`` are float32 in [0, 1]; ``labels`` (N,) and ``test_labels``
    are int64 in ``0 … K - 1``; ``class_names`` has K entries.
    """

    name: str
    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        checks.instance("name", self.name, str)
        for each in checks.sequence("class_names", self.class_names):
            checks.instance("class_names", each, str)
        checks.tensor("images", self.images, "N, C, height, width")
        C, height, width = self.image_shape
        checks.tensor("test_images", self.test_images, "N, C, height, width", C=C, height=height, width=width)
        checks.labels("labels", self.labels, len(self.images), self.num_classes)
        checks.labels("test_labels", self.test_labels, len(self.test_images), self.num_classes)

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def with_label_noise(self, fraction: float, seed: int = 0) -> ImageData:
        """Return a copy in which a random ``fraction`` of the training labels is shuffled among itself.

        Every class keeps its number of samples, so balance survives; about one in K of the shuffled labels stays
        right by chance. The test half is untouched.

        Raises:
            ValueError: if ``fraction`` is not in [0, 1], or ``seed`` is not an integer >= 0.
        """
        if checks.number("fraction", fraction) > 1:
            raise ValueError(f"fraction must lie in [0, 1], got {fraction!r}")
        g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
        chosen = torch.randperm(len(self.labels), generator=g)[: round(fraction * len(self.labels))]
        labels = self.labels.clone()
        labels[chosen] = self.labels[chosen[torch.randperm(len(chosen), generator=g)]]
        return replace(self, labels=labels)


def load(
    source: str | Path = "digits",
    *,
    classes: Sequence[int] | None = None,
    samples_per_class: int | None = None,
    image_size: int | None = None,
    root: str | Path | None = None,
    download: bool = True,
    seed: int = 0,
) -> ImageData:
    """Return a data set as tensors, the training samples ordered by class.

    Args:
        source: ``"digits"`` (8 x 8 grey, shipped with scikit-learn, no download), ``"mnist"``, ``"cifar10"``, or the
            path of a folder of images: ``train/CLASS/*`` and ``test/CLASS/*``, or ``CLASS/*`` alone, of which a fifth
            of each class is then held out for testing.
        classes: keep only these labels, relabelled ``0, 1, …`` in the order given.
        samples_per_class: training samples of each class, drawn by ``seed``; all by default, and 140 for digits, whose
            remaining samples are its test half.
        image_size: resize the images of a folder to this many pixels square; needed where they differ in size.
        root: where MNIST and CIFAR-10 are, or are to be put, in torchvision's layout; ``~/.cache/ncbook`` by default.
        download: fetch MNIST or CIFAR-10 through torchvision, with its checksums, where missing.
        seed: of the draw of samples (and of a folder's held-out fifth).

    Raises:
        ValueError: for an unknown source, a label out of range, repeated classes or fewer than two, more samples than
            a class has, images of unequal size without ``image_size``, or a class folder without images.
        DataUnavailable: if the data is not on this machine and cannot be downloaded, or is damaged.

    Source: scikit-learn's copy of the UCI optical digits; LeCun et al. (1998), MNIST; Krizhevsky (2009), CIFAR-10.
    """
    checks.integer("seed", seed, minimum=0)
    checks.flag("download", download)
    if samples_per_class is not None:
        checks.integer("samples_per_class", samples_per_class)
    if image_size is not None:
        checks.integer("image_size", image_size)
    folder = CACHE.expanduser() if root is None else Path(root).expanduser()
    name = str(source)
    if name == "digits":
        train, names = _digits()
        test = None
        samples_per_class = samples_per_class or DIGITS_PER_CLASS
    elif name in ("mnist", "cifar10"):
        train, test, names = {"mnist": _mnist, "cifar10": _cifar10}[name](folder, download)
    elif Path(name).expanduser().is_dir():
        train, test, names = _image_folder(Path(name).expanduser(), image_size, seed)
    else:
        raise ValueError(f'source must be "digits", "mnist", "cifar10" or the path of a folder of images, got {name!r}')
    keep = _kept_classes(classes, names)
    chosen, left = _draw(train[1], keep, samples_per_class, seed)
    rest = (train[0], train[1], left) if test is None else (*test, _draw(test[1], keep, None, seed)[0])
    return ImageData(name, *_tensors(*train, chosen, keep), *_tensors(*rest, keep), tuple(names[k] for k in keep))


def _kept_classes(classes: Sequence[int] | None, names: Sequence[str]) -> list[int]:
    keep = list(range(len(names))) if classes is None else list(checks.integers("classes", classes, minimum=0))
    if len(keep) < 2 or len(set(keep)) != len(keep) or max(keep) >= len(names):
        raise ValueError(f"classes must be two or more different labels in 0 … {len(names) - 1}, got {keep}")
    return keep


def _draw(labels: np.ndarray, keep: list[int], count: int | None, seed: int) -> Pairs:
    """Indices drawn for training, ordered by class, and those left over."""
    rng = np.random.default_rng(seed)
    drawn, left = [], []
    for k in range(labels.max() + 1):  # every class is shuffled, so that a draw does not depend on `keep`
        members = rng.permutation(np.flatnonzero(labels == k))
        if k not in keep:
            continue
        if count is not None and count > len(members):
            raise ValueError(f"samples_per_class must be at most {len(members)} for class {k}, got {count}")
        drawn.append((keep.index(k), np.sort(members[:count])))
        left.append((keep.index(k), np.sort(members[len(members) if count is None else count :])))
    in_order = lambda parts: np.concatenate([members for _, members in sorted(parts, key=lambda p: p[0])])
    return in_order(drawn), in_order(left)


def _tensors(images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, keep: list[int]) -> tuple[Tensor, Tensor]:
    # Only the chosen images become floats: all of CIFAR-10 would take 740 MB.
    picked = images[chosen]
    floats = torch.from_numpy(np.ascontiguousarray(picked)).float()
    position = {k: i for i, k in enumerate(keep)}
    return floats / 255 if picked.dtype == np.uint8 else floats, torch.tensor(
        [position[int(k)] for k in labels[chosen]]
    )


def _digits() -> tuple[Pairs, list[str]]:
    load_digits = optional("sklearn.datasets").load_digits

    digits = load_digits()
    return (digits.images[:, None] / 16, digits.target), [str(k) for k in range(10)]


def _mnist(root: Path, download: bool) -> tuple[Pairs, Pairs, list[str]]:
    published = optional("torchvision.datasets").MNIST

    raw = root / "MNIST" / "raw"

    def fetch() -> None:
        for name, md5 in published.resources:
            packed = raw / name
            if packed.exists() or packed.with_suffix("").exists():
                continue  # checked when read: IDX says its size, and gzip carries a checksum
            if not download:
                raise FileNotFoundError(f"{packed} is missing")
            _download(published.mirrors, name, raw, md5)

    _available("mnist", root, fetch)
    halves = []
    for half in ("train", "t10k"):
        images = _read_idx(raw / f"{half}-images-idx3-ubyte", 3)[:, None]
        halves.append((images, _read_idx(raw / f"{half}-labels-idx1-ubyte", 1)))
    return halves[0], halves[1], [str(k) for k in range(10)]


def _download(mirrors: Sequence[str], name: str, folder: Path, md5: str) -> None:
    download_url = optional("torchvision.datasets.utils").download_url

    for i, mirror in enumerate(mirrors):
        try:
            download_url(mirror + name, folder, name, md5)
            return
        except (OSError, RuntimeError):  # unreachable, or its file fails the checksum: the next one may do
            (folder / name).unlink(missing_ok=True)
            if i == len(mirrors) - 1:
                raise


def _read_idx(path: Path, axes: int) -> np.ndarray:
    """Read an IDX file of bytes, packed or not: two zero bytes, 8 (unsigned byte), the number of axes, their sizes."""
    packed = path.with_name(path.name + ".gz")
    file = packed if packed.exists() else path
    try:
        content = gzip.decompress(file.read_bytes()) if file == packed else file.read_bytes()
    except (EOFError, OSError, zlib.error):
        content = b""
    start = 4 + 4 * axes
    sizes = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    body = np.frombuffer(content, dtype=np.uint8)[start:]
    if content[:4] != bytes((0, 0, 8, axes)) or len(content) != start + math.prod(sizes):
        raise DataUnavailable(f"{file} is damaged: delete it and load again to download it anew")
    return body.reshape(sizes)


def _cifar10(root: Path, download: bool) -> tuple[Pairs, Pairs, list[str]]:
    photographs = optional("torchvision.datasets").CIFAR10

    halves: list[Any] = []
    _available(
        "cifar10", root, lambda: halves.extend(photographs(root, train, download=download) for train in (True, False))
    )
    pairs = [(half.data.transpose(0, 3, 1, 2), np.asarray(half.targets)) for half in halves]
    return pairs[0], pairs[1], list(halves[0].classes)


def _available(name: str, root: Path, fetch: Callable[[], None]) -> None:
    """Run ``fetch``; where it fails for want of a network or a file, say what the reader can do about it."""
    try:
        fetch()
    except (OSError, RuntimeError) as error:
        place = root / ("MNIST/raw" if name == "mnist" else "")
        raise DataUnavailable(
            f"{name} is not under {root} and could not be downloaded ({type(error).__name__}: {error}).\n"
            "Three ways out:\n"
            '  1. use data.load("digits"): it comes with scikit-learn and needs no network;\n'
            f"  2. connect to a network and load again, or copy torchvision's {name} files to {place} "
            "(or to another folder, and pass it as root=…);\n"
            '  3. use your own images: data.load("FOLDER"), with one sub-folder of images a class.'
        ) from error


def _image_folder(root: Path, size: int | None, seed: int) -> tuple[Pairs, Pairs | None, list[str]]:
    halves = [root / "train", root / "test"] if (root / "train").is_dir() else [root]
    if len(halves) == 2 and not halves[1].is_dir():
        raise ValueError(f"source must hold test/ beside train/, or class folders alone, got {root}")
    names = sorted(p.name for p in halves[0].iterdir() if p.is_dir())
    if len(names) < 2:
        raise ValueError(
            f"source must hold a sub-folder of images for each of two or more classes, got {names} in {halves[0]}"
        )
    pairs = [_read_images(half, names, size) for half in halves]
    if len(pairs) == 2:
        return pairs[0], pairs[1], names
    images, labels = pairs[0]
    fifth = max(1, int(np.bincount(labels).min()) // 5)
    test, train = _draw(labels, list(range(len(names))), fifth, seed)
    return (images[train], labels[train]), (images[test], labels[test]), names


def _read_images(folder: Path, names: Sequence[str], size: int | None) -> Pairs:
    Image, extensions = optional("PIL.Image"), optional("torchvision.datasets.folder").IMG_EXTENSIONS

    images: list[np.ndarray] = []
    labels: list[int] = []
    for k, name in enumerate(names):
        files = sorted(p for p in (folder / name).glob("*") if p.suffix.lower() in extensions)
        if not files:
            raise ValueError(f"source must have images in every class folder, got none in {folder / name}")
        for file in files:
            with Image.open(file) as image:
                rgb = image.convert("RGB")
            pixels = np.asarray(rgb if size is None else rgb.resize((size, size)))
            if images and pixels.shape != images[0].shape:
                raise ValueError(f"image_size must be given where images differ in size, got {file} of {rgb.size}")
            images.append(pixels)
            labels.append(k)
    return np.stack(images).transpose(0, 3, 1, 2), np.asarray(labels)
