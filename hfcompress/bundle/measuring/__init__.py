"""Measures a bundle on the machine where it lies: this package is copied into every bundle, beside `measure.py`.

It runs where nothing of hfcompress is: Python 3.10 or newer, numpy, and the one runtime of bundle.json. So modules
import the standard library, numpy and each other alone. What is measured is data: bundle.json says it all.
"""
