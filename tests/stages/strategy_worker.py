"""Runs maximize_activation on two logical CPU devices; flags as the command's own."""

import tensorflow as tf

from svdam import maximize_activation
from svdam.core.commands import run_command

if __name__ == "__main__":
    (cpu,) = tf.config.list_physical_devices("CPU")
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    run_command(maximize_activation.main)
