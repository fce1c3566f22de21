"""What bytes lie in: files, tars, gzip streams, Parquet pages, TFRecords, MATLAB files. One module a container."""
