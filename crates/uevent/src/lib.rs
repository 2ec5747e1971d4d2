//! uevent.
