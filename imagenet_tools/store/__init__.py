"""An index on disk and open: its layout, its tables in DuckDB, and what a query may do."""
