"""A training in several processes: who they are, what each reads, and how they are started."""
