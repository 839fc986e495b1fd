"""Keys, clips and the operators for them."""
