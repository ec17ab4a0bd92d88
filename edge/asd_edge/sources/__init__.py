"""Where sound comes from: files, raw PCM, microphones, simulated machines."""
