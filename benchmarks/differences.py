"""How far each method of an experiment's JSON is from another, over the subjects: mean and 95 % interval.

python benchmarks/differences.py benchmarks/results/contrast_2d_29_cpu.json learn2synth-random
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from l2s_auto.experiments.contrast.data import person_of
from l2s_auto.experiments.methods.statistics import differences_of, from_best, groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("json", type=Path, help="methods.json or contrast.json")
    parser.add_argument("method", help="the method that the others are subtracted from")
    args = parser.parse_args()
    result = json.loads(args.json.read_text(encoding="utf-8"))
    subjects = {scan: person_of(scan) if "field" in result else scan for scan in result["tests"]}
    rows = groups(result["rows"])
    for (name, cases), own in rows.items():
        if name == args.method or (args.method, cases) not in rows:
            continue
        for kind in own[0]["dice"]:
            differences = differences_of(rows[args.method, cases], own, [kind], subjects)
            low, high = from_best(differences)["from_best"]
            print(f"{cases} cases, {kind}: {args.method} - {name} = {differences.mean():.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
