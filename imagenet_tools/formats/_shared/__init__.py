"""What several targets share: lists of places, class folders, and an export set aside for a loader."""
