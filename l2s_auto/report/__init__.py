"""Figures and the report of a run. Matplotlib is loaded only by the modules that draw."""
