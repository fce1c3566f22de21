"""The bundled tables of facts, made by the scripts in data/."""
