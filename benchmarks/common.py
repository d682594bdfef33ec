"""What the scripts share: their options and the form of their results."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def parser(description: str) -> argparse.ArgumentParser:
    """Options that every script has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps")
    made.add_argument("--json", type=Path, help="also write the figures to this file")
    return made


def machine(device: str) -> dict[str, object]:
    """What the figures were measured on."""
    name = (
        torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or platform.machine()
    )
    return {"device": device, "name": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def finish(figures: dict, path: Path | None) -> None:
    """Print the figures as the last line, and write them if a file was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


def in_a_process(function: Callable, *arguments: object) -> Any:
    """What function(*arguments, queue) puts into the queue, from a process of its own; an exception if that fails."""
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.SimpleQueue()
    process = spawn.Process(target=function, args=(*arguments, queue))
    process.start()
    process.join()
    if process.exitcode != 0 or queue.empty():
        raise RuntimeError(f"{function.__name__}{arguments} ended with exit code {process.exitcode}")
    return queue.get()
