"""Evidence clips: sound around the begin of an alarm, for people to listen to and to train with (docs/evidence.md)."""
