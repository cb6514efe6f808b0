"""From a network to canonical graphs: each recurrent layer crosses torch's exporter as one op."""
