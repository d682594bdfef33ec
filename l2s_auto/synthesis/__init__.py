"""Label maps become images: enrichment, deformation, intensities. Fixed randomness, nothing that is learned."""
