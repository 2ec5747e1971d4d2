//! A strict kubelet.
