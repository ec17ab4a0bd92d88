"""From frames to embedded segments: whole segments through a network, or the network with the sound."""
