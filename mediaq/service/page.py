def render(content): return "<!doctype html>"
