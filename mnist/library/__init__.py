"""What the package offers to notebooks and programs: ``mnist.load_data`` and the like."""
