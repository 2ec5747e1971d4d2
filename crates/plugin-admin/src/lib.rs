//! plugin-admin.
