"""What listens to the machines: a thread for each, its source through all openings, the conditions it knows."""
