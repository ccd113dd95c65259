"""The strengths of a change, in a module that imports nothing.

A strength of 1 is the network's own change. Less is a share of it, and more
goes on in the same direction.
"""

MAX_STRENGTH = 1.5
PREVIEWED = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5)  # side by side, to choose from
