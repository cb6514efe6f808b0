"""What a precision makes of a model: plans by weight, calibration, and lowering by both."""
