"""What is looked at, one module for each part of Envoy. Pure: from the view to findings."""
