"""Makes a head in Blender from a blueprint."""
