"""What training minimises: network and heads of a batch, one number out."""
