"""Equal seed and equal number of threads: equal weights; and the log names both."""

import logging
from pathlib import Path

import torch

from l2s_auto.training.checkpoint import load_checkpoint
from l2s_auto.training.home import Phases
from l2s_auto.training.loop import Limits, train
from l2s_auto.training.team import ALONE
from l2s_auto.training.threads import THREADS, report_threads


def weights(make_parts, folder: Path, *, method: str) -> bytes:
    parts, chosen, state = make_parts(method)
    limits = Limits(iterations=4, time_budget=None, log_every=2)
    train(parts, Phases(chosen), state, folder=folder, limits=limits, validate=lambda phi: 0.5, title="test")
    return (folder / "weights.safetensors").read_bytes()


def test_equal_seed_and_threads_give_equal_weights(make_parts, tmp_path):
    """theta is updated on the way; the file is compared byte by byte."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        first, second = (weights(make_parts, tmp_path / name, method="learn2synth") for name in "ab")
        assert first == second
    finally:
        torch.set_num_threads(threads)


def test_the_log_names_the_threads_and_warns_of_another_number(make_parts, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("l2s_auto"), "propagate", True)
    caplog.set_level(logging.INFO, "l2s_auto")
    weights(make_parts, tmp_path, method="synthseg")
    state = load_checkpoint(tmp_path / "checkpoint", torch.device("cpu"))
    threads = torch.get_num_threads()
    assert state.rng[THREADS] == threads
    report_threads(state, ALONE, seed=3)
    assert f"Threads: {threads}. Same seed (3)" in caplog.text and "Warning" not in caplog.text
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    report_threads(state, ALONE, seed=3)
    assert f"started with {threads} threads" in caplog.text and f"OMP_NUM_THREADS={threads}" in caplog.text
