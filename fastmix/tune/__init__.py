"""What a machine can do, how it is set, and how it should be: capacity, facts, profiles against the host. Never imports Numba."""
