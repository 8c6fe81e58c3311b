"""The lab: which real boards are here, who holds them, and which of them are sick.

`file` reads the lab file, `locks` are what keeps two users apart, `pool` hands boards out. Nothing
here talks to a board.
"""
