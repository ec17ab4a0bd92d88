"""What the device runtime costs, measured on the machine that asks: `asd-edge bench`."""
