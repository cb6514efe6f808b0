"""Lightning modules: the loss of each task and the optimization all of them share."""
