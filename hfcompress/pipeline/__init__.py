"""Runs a recipe: plan, cache, lock, measurements, gates; the one place where stage configs meet stage code."""
