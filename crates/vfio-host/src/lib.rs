//! vfio-host.
