"""From a foreign graph to canonical ones: ports for its states, a step, a sequence."""
