"""From samples to windows: order, filters, quality, detection, fibrillation."""
