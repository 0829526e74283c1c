"""Layer 0: what a packet is. Imports NumPy and the standard library only."""
