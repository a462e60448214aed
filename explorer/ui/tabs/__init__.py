"""One module a tab; each has `build(engine, name, max_px)`, called inside the tab."""
