"""What drills share: a node between neighbours, under load, and the report of what came of it."""
