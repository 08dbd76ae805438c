"""Controls that several pages share: model, tile, scale and mask."""
