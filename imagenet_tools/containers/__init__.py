"""What bytes lie in: files, tars, gzip streams, Parquet row groups, TFRecords, MATLAB files. One module a container."""
