"""Shim for Beam's ``--setup_file ./setup.py``; all metadata is in pyproject.toml."""

from setuptools import setup

setup()
