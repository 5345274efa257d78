"""git-lfs and the LFS calls of huggingface_hub: batch, basic and multipart transfers."""
