"""The home of a node that nobody has configured: where it is, what lies in it, and how its settings are chosen."""
