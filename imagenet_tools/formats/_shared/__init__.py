"""Parts that several formats share: contract defaults, shards, class folders, lists and Ultralytics' demands."""
