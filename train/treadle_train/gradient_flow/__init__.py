"""How far back in time a loss reaches: gradients of hidden states, step by step."""
