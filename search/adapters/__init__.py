"""Studies in the forms of other tools; each needs a package of its own, which nothing else here imports."""
