"""Many processes: streams merge, and `measure` speaks for all, under every launcher, with uneven and empty shares."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ncbook.metrics import NeuralCollapse, measure, neural_collapse
from tests.ncbook.metrics.reference import classes, same

LATE = ("nc4", "accuracy", "nearest_mean_accuracy")


def worker(rank: int, world: int, rendezvous: str, results: Any) -> None:
    """One of ``world`` processes: runs every scenario once."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=world)
    found: dict[str, Any] = {}
    for scenario in (stream, kept, poured, twice, uneven_ddp, with_an_empty_rank, alone, failing, sharded, nothing):
        try:
            found[scenario.__name__] = scenario(rank, world)
        except ValueError as error:
            found[scenario.__name__] = str(error)
        torch.distributed.barrier()
    results.put((rank, found))
    torch.distributed.destroy_process_group()


def case() -> tuple[Tensor, ...]:
    return classes(5, 9, [30, 12, 20, 9, 25], noise=1e-6, offset=1e3)


def shares(labels: Tensor, world: int) -> Tensor:
    """Who has which sample: the last process has none of class 0."""
    owner = torch.arange(len(labels)) % world
    return torch.where((owner == world - 1) & (labels == 0), 0, owner)


def stream(rank: int, world: int) -> Any:
    features, labels, weight, bias = case()
    mine = shares(labels, world) == rank
    stream = NeuralCollapse(len(weight), features.shape[1])
    for h, y in zip(features[mine].split(7), labels[mine].split(7)):
        stream.update(h, y)
    together = stream.compute(weight, bias)
    stream.update(features[:3], labels[:3])  # still its own stream afterwards
    return together, int(stream._parts().counts.sum()) - int(mine.sum())


class Net(nn.Module):
    """Batch norm has buffers, which DistributedDataParallel sends around in its forward."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def samples() -> tuple[Tensor, Tensor]:
    labels = torch.arange(61) % 3
    return torch.randn(61, 4, generator=torch.Generator().manual_seed(3)) + labels[:, None], labels


def share(rank: int, world: int, first: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Batches of 5 with more for later ranks: rank ``r`` has a part proportional to ``r + 1``."""
    inputs, labels = samples()
    ranks = range(first, world)
    bounds = torch.tensor([0, *(r + 1 for r in ranks)]).cumsum(0) * len(labels) // sum(r + 1 for r in ranks)
    if rank < first:
        return []
    mine = slice(int(bounds[rank - first]), int(bounds[rank - first + 1]))
    return list(zip(inputs[mine].split(5), labels[mine].split(5)))


def kept(rank: int, world: int) -> Any:
    return measure(Net(), share(rank, world), progress=False)


def poured(rank: int, world: int) -> Any:
    return measure(Net(), share(rank, world), keep_bytes=400, progress=False)


def twice(rank: int, world: int) -> Any:
    return measure(Net(), share(rank, world), keep_bytes=0, second_pass=True, progress=False)


def uneven_ddp(rank: int, world: int) -> Any:
    return measure(nn.parallel.DistributedDataParallel(Net()), share(rank, world), mode="eval", progress=False)


def with_an_empty_rank(rank: int, world: int) -> Any:
    both = [measure(Net(), share(rank, world, 1), keep_bytes=k, progress=False) for k in (2**20, 0)]
    assert abs(both[0].nc1 / both[1].nc1 - 1) < 1e-9
    return both[0]


def alone(rank: int, world: int) -> Any:
    """Nobody waits for processes that do not call."""
    return measure(Net(), [samples()], synchronise=False, keep_bytes=0, progress=False) if rank == 0 else None


def failing(rank: int, world: int) -> Any:
    batches = share(rank, world)
    if rank == 1:
        batches = [(inputs / 0, labels) for inputs, labels in batches[:1]] + [(batches[0][0], batches[0][1] + 9)]
    return measure(Net(), batches, keep_bytes=0, progress=False)


def sharded(rank: int, world: int) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    net = Net()
    mesh = init_device_mesh("cpu", (world,))
    fully_shard(net.head, mesh=mesh)
    fully_shard(net, mesh=mesh)
    both = [measure(net, share(rank, world), keep_bytes=k, progress=False) for k in (2**20, 0)]
    assert abs(both[0].nc1 / both[1].nc1 - 1) < 1e-9
    return both[0]


def nothing(rank: int, world: int) -> Any:
    return measure(Net(), [], progress=False)


@pytest.fixture(scope="module", params=[2, 4])
def found(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What every process found, in every scenario: started once for all tests."""
    world, folder = request.param, tmp_path_factory.mktemp("rendezvous")
    context = multiprocessing.get_context("forkserver")  # as clean as spawn, and torch is imported once for all
    context.set_forkserver_preload(["torch", "torchmetrics", "ncbook.metrics.stream"])
    results = context.SimpleQueue()
    rendezvous = f"file://{Path(folder) / 'meeting'}"
    workers = [context.Process(target=worker, args=(r, world, rendezvous, results)) for r in range(world)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(timeout=900)
    codes = [process.exitcode for process in workers]
    for process in workers:
        process.kill()
    assert codes == [0] * world
    yield [of for _, of in sorted((results.get() for _ in range(world)), key=lambda pair: pair[0])]


def everywhere(found: list[dict[str, Any]], name: str) -> list[Any]:
    return [of[name] for of in found]


def whole(of: Callable[..., Any] = measure) -> Any:
    return measure(Net(), [samples()], progress=False)


def test_streams_together_are_as_one(found: list[dict[str, Any]]) -> None:
    wanted = neural_collapse(*case()).as_dict()
    for name in LATE:
        wanted.pop(name)
    for together, left_over in everywhere(found, "stream"):
        same(together, wanted)
        assert left_over == 3


@pytest.mark.parametrize("scenario", ["kept", "poured", "twice", "uneven_ddp", "with_an_empty_rank", "sharded"])
def test_every_process_gets_the_report_on_all_the_data(found: list[dict[str, Any]], scenario: str) -> None:
    wanted = whole().as_dict()
    if scenario == "poured":
        wanted |= {"nc4": None, "nearest_mean_accuracy": None}
    for report in everywhere(found, scenario):
        assert not isinstance(report, str), report
        same(report, wanted, tolerance=1e-4)  # float32 features of other batches differ in their last bits
        assert report.num_samples == 61


def test_one_process_may_measure_alone(found: list[dict[str, Any]]) -> None:
    reports = everywhere(found, "alone")
    assert reports[0].num_samples == 61 and set(reports[1:]) == {None}


def test_an_error_on_one_process_ends_the_measurement_on_all(found: list[dict[str, Any]]) -> None:
    messages = everywhere(found, "failing")
    assert messages[1].startswith("features must be finite")
    for message in messages[:1] + messages[2:]:
        assert message.startswith("process 1 could not measure: ValueError: features must be finite")


def test_no_data_anywhere_is_an_error_everywhere(found: list[dict[str, Any]]) -> None:
    assert all(message.startswith("loader must yield at least one batch") for message in everywhere(found, "nothing"))
