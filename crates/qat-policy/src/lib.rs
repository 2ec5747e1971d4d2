//! qat-policy.
