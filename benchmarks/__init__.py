"""Benchmarks against what a user would pick instead; `python -m benchmarks` runs them all.

A task is one piece of work with two or more sides that do it: this package and its peers. Each side lives in its
own process, imports its framework once, and does one block of work when the driver asks; blocks of the sides
alternate in one run, and only one side computes at any time. Peers have an environment of their own.
"""
