"""Objectives: what a network is trained to do. One file each, combined with networks and losses by the recipe."""
