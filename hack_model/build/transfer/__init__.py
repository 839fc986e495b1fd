"""Personalised expressions: hack-open's expressions carried to other identities, and a linear space of the differences.

Deformation transfer (Sumner & Popović, "Deformation transfer for triangle meshes", SIGGRAPH 2004) gives every sampled
person their own expressions; contact of lids and lips is kept as virtual connections between them, after Saito,
"Smooth contact-aware facial blendshapes transfer" (DigiPro 2013).
"""
