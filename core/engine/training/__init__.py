"""Training: runs in folders, previews, publication, fine-tuning and segmentation heads."""
