"""An index on disk: its layout, its tables in DuckDB, and queries of them."""
