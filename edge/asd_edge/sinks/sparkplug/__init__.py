"""A Sparkplug B 3.0 edge node: the codec, the metrics and the session are pure; the node has the thread."""
