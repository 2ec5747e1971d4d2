//! sysfs-pci.
