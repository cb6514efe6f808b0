"""What quantization costs on real data: the whole, each weight alone, and a plan in a budget."""
