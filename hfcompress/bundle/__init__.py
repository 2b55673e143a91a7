"""Bundles: a model as a folder that measures itself on another machine, with nothing of ours installed there."""
