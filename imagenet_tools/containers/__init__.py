"""Containers of images: tars, zips, gzip streams, Parquet row groups, TFRecords, MATLAB files. One module each."""
