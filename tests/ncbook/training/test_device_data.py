"""Data on the device: nothing lost, every sample once, crops and flips as done by hand, the same in shares."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook.training.device_data import DeviceData, Share, crop_and_flip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.randint(0, 256, (13, 3, 6, 5), generator=generator()).float() / 255


def test_bytes_become_bytes_and_come_back_exactly(images):
    data = DeviceData(images, torch.zeros(13).long(), "cpu", mean=torch.zeros(3), std=torch.ones(3))
    assert data.images.dtype == torch.uint8 and data.nbytes == 13 * 90 + 13 * 8
    batch = next(data.in_order(13))
    assert torch.equal(batch.images, images)  # 255 is the divisor either way


def test_sixteenths_stay_floats():
    images = torch.arange(16.0).view(1, 1, 4, 4) / 16
    data = DeviceData(images, torch.zeros(1).long(), "cpu", mean=torch.zeros(1), std=torch.ones(1))
    assert torch.equal(next(data.in_order(1)).images, images)


def test_each_channel_is_normalised(images):
    got = torch.cat([b.images for b in DeviceData(images, torch.zeros(13).long(), "cpu").in_order(4)]).double()
    assert torch.allclose(got.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5)  # float32 pixels
    assert torch.allclose(got.std((0, 2, 3)), torch.ones(3).double(), atol=1e-5)


def test_a_constant_channel_is_zero():
    got = next(DeviceData(torch.full((4, 1, 2, 2), 0.5), torch.zeros(4).long(), "cpu").in_order(4)).images
    assert float(got.abs().max()) < 0.1


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 40), st.integers(2, 17), st.integers(1, 3))
def test_every_sample_once_whatever_the_batches_and_shares(count, size, processes):
    labels = torch.arange(count)
    data = DeviceData(torch.rand(count, 1, 2, 2, generator=generator()), labels, "cpu")
    shares = [list(data.epoch(size, generator(1), share=Share(r, processes))) for r in range(processes)]
    seen = torch.cat([b.labels for share in shares for b in share])
    assert torch.equal(seen.sort().values, labels)
    whole = list(data.epoch(size, generator(1), share=Share(0, 1))) if processes == 1 else None
    for parts in zip(*shares):
        assert sum(len(b.labels) for b in parts) == parts[0].everywhere
        if count >= 2 * processes and size >= 2 * processes:
            assert min(len(b.labels) for b in parts) >= 2
    assert whole is None or [len(b.labels) for b in whole] == [len(b.labels) for b in shares[0]]


def test_shares_split_the_same_augmented_batch(images):
    data = DeviceData(images, torch.arange(13), "cpu")
    (whole,) = data.epoch(13, generator(5), augment=True)
    for rank in range(2):
        (part,) = data.epoch(13, generator(5), augment=True, share=Share(rank, 2))
        assert torch.equal(part.images, whole.images[rank::2]) and torch.equal(part.labels, whole.labels[rank::2])


def test_the_seed_decides_everything(images):
    data = DeviceData(images, torch.arange(13), "cpu")
    first, same, other = ([b.images for b in data.epoch(5, generator(s), augment=True)] for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, same))
    assert not all(torch.equal(a, b) for a, b in zip(first, other))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 1)), min_size=1, max_size=4))
def test_crop_and_flip_is_pad_cut_and_mirror(moves):
    images = torch.rand(len(moves), 2, 5, 4, generator=generator())
    got = crop_and_flip(images, torch.tensor(moves), padding=2)
    for image, (up, left, mirror), out in zip(images, moves, got):
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
        cut = padded[:, up : up + 5, left : left + 4]
        assert torch.equal(out, cut.flip(2) if mirror else cut)


def test_no_move_changes_nothing(images):
    assert torch.equal(crop_and_flip(images, torch.tensor([[4, 4, 0]]).expand(13, 3)), images)


def test_channels_last_is_a_layout_and_not_another_number(images):
    plain, laid = (
        next(DeviceData(images, torch.arange(13), "cpu", channels_last=c).in_order(13)) for c in (False, True)
    )
    assert torch.equal(plain.images, laid.images) and laid.images.is_contiguous(memory_format=torch.channels_last)


def test_bad_values_are_named(images):
    with pytest.raises(ValueError, match=r"^images"):
        DeviceData(images[0], torch.zeros(3).long(), "cpu")
    with pytest.raises(ValueError, match=r"^labels"):
        DeviceData(images, torch.zeros(3).long(), "cpu")
    with pytest.raises(ValueError, match=r"^batch_size"):
        next(DeviceData(images, torch.arange(13), "cpu").epoch(0, generator()))
