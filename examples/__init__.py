"""Data files that ship with the package (README.md says where they come from), and an example consumer."""
