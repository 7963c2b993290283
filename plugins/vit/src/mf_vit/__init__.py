"""ViT and masked autoencoders for mf-framework."""
