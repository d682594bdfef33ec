"""report.html: one page that explains a run, with everything inside it."""

from __future__ import annotations

from html import escape
from pathlib import Path

from l2s_auto import __version__
from l2s_auto.io.atomic import atomic_path
from l2s_auto.report import sections
from l2s_auto.report.choice import choice_section
from l2s_auto.report.commands import Again
from l2s_auto.report.dial_section import dial_section
from l2s_auto.report.run_data import read_run

STYLE = """
:root { --ink: #1f2430; --soft: #5b6475; --line: #e3e6ec; --accent: #0072b2; --paper: #ffffff; --back: #f4f5f8 }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "DejaVu Sans", sans-serif }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem }
h1 { font-size: 1.9rem; margin: 0 0 .25rem } h2 { font-size: 1.25rem; margin: 0 0 .75rem } h3 { font-size: 1rem }
header p { color: var(--soft); margin: 0 0 1.5rem }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 1.25rem 1.5rem;
  margin: 1.25rem 0 }
.cards { display: flex; flex-wrap: wrap; gap: .75rem }
.cards div { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: .7rem 1.2rem;
  min-width: 7.5rem }
.cards b { display: block; font-size: 1.5rem; color: var(--accent) } .cards span { color: var(--soft) }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .35rem .7rem; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } th { color: var(--soft); font-weight: 600 }
tbody tr:hover { background: var(--back) }
img { max-width: 100%; height: auto; display: block; margin: .5rem auto; border-radius: 6px }
dt { font-weight: 600; margin-top: .6rem } dd { margin: .2rem 0 0 }
code { display: block; background: var(--back); border-radius: 6px; padding: .5rem .8rem; overflow-x: auto }
footer { color: var(--soft); font-size: .9rem; margin-top: 2rem }
@media print { body { background: #fff } section { break-inside: avoid } }
"""
WARNING = "Research software: it is not a medical device, and its output needs the eyes of somebody qualified."


def write_report(run_folder: Path | str, *, again: Again | None = None) -> Path:
    """Run folder -> its report.html: data, plan, curves, validation, next steps. Nothing in it is loaded from outside.

    again  what the training's command was given, so that the report can repeat it

    Works with what there is, and says what is missing. Raises UserError only if the folder is not there.
    """
    run = read_run(Path(run_folder))
    parts = [
        sections.summary_cards(run),
        sections.verdict_section(run),
        dial_section(run),
        sections.dataset_section(run),
        sections.plan_section(run),
        sections.preview_section(run),
        choice_section(run, again),
        *(sections.training_section(fold) for fold in run.folds),
        *(sections.validation_section(fold) for fold in run.folds),
        sections.next_section(run, again),
        sections.notes_section(run),
    ]
    name = run.plan.dataset if run.plan else run.fingerprint.dataset if run.fingerprint else run.path.resolve().name
    path = run.path / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(_page(name, "\n".join(part for part in parts if part)), encoding="utf-8")
    return path


def _page(name: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(name)}: report of the training</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header><h1>{escape(name)}</h1><p>Report of the training</p></header>
{body}
<footer>l2s_auto {escape(__version__)}. {WARNING}</footer>
</main>
</body>
</html>
"""
