"""One process of a team: trains a few steps on what a file holds, and writes its state. Started by test_team.py."""

import atexit
import pickle
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.methods import METHODS
from l2s_auto.training.team import Team

STEPS = 4


def train(plan, cases, recipe, team):
    method = METHODS[recipe.method.name]()
    parts = build_parts(plan, recipe, cases, method=method, device=torch.device("cpu"), team=team)
    state = initial_state(parts)
    losses = []
    for _ in range(STEPS):
        result = method.step(parts, state, progress=0.0)
        state = result.state
        state.step += 1
        losses.append((result.loss_synth, result.loss_real))
    return {"phi": state.phi, "theta": state.theta, "losses": losses}


def main(folder, rank, size):
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size, timeout=timedelta(seconds=60))
    atexit.register(distributed.destroy_process_group)  # as a team from the environment does
    team = Team(rank, size, distributed.new_group(backend="gloo"))
    jobs = pickle.loads((folder / "jobs.pkl").read_bytes())
    states = [train(*job, team) for job in jobs]
    said = {
        "agreed": team.agree(10.0 + rank, rank == 1),
        "gathered": team.gather([f"{rank} a", f"{rank} b"]),
        "from leader": team.from_leader(lambda: rank + 7),
    }
    (folder / f"done_{rank}.pkl").write_bytes(pickle.dumps((states, said)))
    distributed.barrier()
    team.from_leader(lambda: sys.exit("the leader stops"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
