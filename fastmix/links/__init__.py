"""Links between neighbours: where roots come from, and channels over them."""
