"""How long a bundle takes on this machine: what `treadle bench` measures, and how."""
