"""Figures in SVG, drawn from numbers alone. For `benchmarks.sweep_report`."""
