"""Pictures to look at: images with boxes, contact sheets, charts, HTML pages, and images in terminals."""
