"""What models reach on real data, beside published figures and simple baselines."""
