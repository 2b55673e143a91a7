"""What runs an artifact best on this host: what is tried, and how the best of it is found."""
