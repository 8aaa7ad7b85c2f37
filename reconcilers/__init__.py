"""The domain: what stock is, which part of a difference is on its way, and what is left.

Nothing here imports Beam, Great Expectations or any other package of this project.
"""
