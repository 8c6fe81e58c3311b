"""The pytest face: options, fixtures, collection, and what a run prints.

No other room imports pytest. A pytest run that names no board loads `plugin`, `hookspecs`,
`options`, `fixtures` and `stash` only; everything else comes with the first board.
"""
