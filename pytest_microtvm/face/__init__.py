"""The pytest face: options, fixtures, collection, and what a run prints.

No other room imports pytest. A pytest run that names no board loads `plugin` and what that imports
at its top, which is thin; everything else comes with the first board.
"""
