"""What Python and the components in the browser exchange: masks, points with colours, and selections."""
