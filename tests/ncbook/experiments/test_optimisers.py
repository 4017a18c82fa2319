"""The sweep over optimisers: its arms differ where they should, it resumes, and its record is whole."""

import json

import pytest
import torch

from ncbook import data
from ncbook.experiments import main, optimisers
from tests.conftest import ROOT

PLAN = optimisers.Plan(count=2, hidden=(8,), epochs=2, batch_size=50)
TINY = data.load("digits", samples_per_class=10)


def test_every_arm_trains_every_parameter_once():
    for arm in optimisers.ARMS:
        crowd = optimisers.build(PLAN, TINY)
        found = optimisers.optimizers(PLAN, crowd, arm, optimisers.DECAYS[arm][0])
        held = [id(p) for each in found for group in each.param_groups for p in group["params"]]
        assert sorted(held) == sorted(map(id, crowd.parameters()))
        assert len(optimisers.DECAYS[arm]) == 5


def test_row_sums_obey_the_law_under_sgd_and_muon_and_not_under_adam():
    steps, rate, decay = 4, 1.0, 0.02

    def after(arm):
        crowd = optimisers.build(PLAN, TINY)
        start = crowd.weights[-1].detach().sum(1)
        searches = optimisers.optimizers(PLAN, crowd, arm, decay)
        for _ in range(steps):
            loss = torch.nn.functional.cross_entropy(crowd(TINY.images.flatten(1))[0], TINY.labels)
            crowd.zero_grad()
            loss.backward()
            for each in searches:
                each.param_groups[0]["lr"] = rate
                each.step()
        expected = (1 - rate * decay) ** steps * start
        return float((crowd.weights[-1].detach().sum(1) - expected)[0].norm() / start[0].norm())

    assert after("sgd-plain") < 1e-5 and after("muon") < 1e-5  # float32
    assert after("adam") > 0.1 and after("adamw") > 0.1


def test_an_unknown_arm_is_refused():
    with pytest.raises(ValueError, match="arm must be"):
        optimisers.optimizers(PLAN, optimisers.build(PLAN, TINY), "lion", 0.1)


def test_the_sweep_resumes_from_its_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(optimisers, "ARMS", ("sgd",))
    rows = optimisers.sweep(PLAN, TINY, tmp_path / "runs" / "cache.jsonl")
    assert [row["decay"] for row in rows] == list(optimisers.DECAYS["sgd"])
    assert all(len(row["nc0"]) == PLAN.count for row in rows)
    monkeypatch.setattr(optimisers, "run", None)  # nothing is left to run
    assert optimisers.sweep(PLAN, TINY, tmp_path / "runs" / "cache.jsonl") == rows


def test_the_command_writes_a_record_and_wants_a_place(tmp_path, monkeypatch):
    monkeypatch.setattr(optimisers, "ARMS", ("adam",))
    monkeypatch.setattr(optimisers, "DECAYS", {"adam": (1e-3,)})
    out = tmp_path / "record.json"
    main(["optimisers", "--count", "1", "--epochs", "1", "--out", str(out)])
    record = json.loads(out.read_text())
    assert record["runs"][0]["arm"] == "adam" and record["plan"]["epochs"] == 1
    assert record["provenance"]["data"]["name"] == "digits"
    with pytest.raises(SystemExit, match="--out must name"):
        main(["optimisers"])


def test_the_record_is_whole():
    record = json.loads((ROOT / "results" / "optimisers-digits.json").read_text())
    settings = [(row["arm"], row["decay"]) for row in record["runs"]]
    assert settings == [(arm, decay) for arm in optimisers.ARMS for decay in optimisers.DECAYS[arm]]
    assert all(len(row[name]) == record["plan"]["count"] for row in record["runs"] for name in ("nc0", "nc1", "test"))
