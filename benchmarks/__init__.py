"""Benchmarks: what the README and the notes quote. `make bench` runs all that a machine without GPU can run.

Every figure is a ratio, or a time, of one run; nothing here is a test.
"""
