"""What a graph may be and cost, looked at before any runtime sees it."""
