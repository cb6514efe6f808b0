"""From a trained network to a bundle: capture, passes, parity."""
