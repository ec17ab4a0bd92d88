"""`asd-edge doctor`: looks at everything a device needs and says what is wrong with it (docs/doctor.md)."""
