"""What a cluster needs beside the programs: manifests, dashboards, rules."""
