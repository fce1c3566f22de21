"""Old name of images.class_folders, until its importers are renamed."""

from imagenet_tools.images.class_folders import (
    TABLES,
    Row,
    class_column,
    find_table,
    first_rows,
    is_synset,
    read_rows,
    told_class,
)

__all__ = ["TABLES", "Row", "class_column", "find_table", "first_rows", "is_synset", "read_rows", "told_class"]
