"""What reports share: the page shell, SVG figures, escaping."""
