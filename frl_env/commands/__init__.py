"""The commands of `frl`, a file a family: what they are asked, and what they say.

For `frl_env.cli`, and for `minari load`.
"""
