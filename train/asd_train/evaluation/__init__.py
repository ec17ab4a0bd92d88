"""How well a system hears: scored clips, results by definition, official scores of each year, spread over seeds."""
