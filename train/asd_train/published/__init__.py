"""What papers printed, and beside which of our figures it may stand."""
