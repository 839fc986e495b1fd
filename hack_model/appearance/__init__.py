"""How skin and eyes look: biophysical parameters in, maps of colour, relief and roughness out."""
