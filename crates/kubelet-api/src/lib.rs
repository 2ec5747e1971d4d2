//! kubelet-api.
