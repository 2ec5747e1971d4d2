//! Pools as the kubelet names them.

use device_plugin::{ResourceName, ResourceNameError};
use qat_policy::PoolName;

/// The domain of every resource; the Go plugin's, so that pods need not change.
pub const RESOURCE_DOMAIN: &str = "qat.intel.com";

/// The resource of a pool as text: `qat.intel.com/cy`.
pub fn resource_text(pool: &PoolName) -> String {
    format!("{RESOURCE_DOMAIN}/{pool}")
}

/// The resource of a pool.
///
/// # Errors
///
/// [`ResourceNameError`] never happens for a [`PoolName`], which follows stricter rules; it is
/// passed on rather than hidden.
pub fn resource_name(pool: &PoolName) -> Result<ResourceName, ResourceNameError> {
    resource_text(pool).parse()
}

/// The pool behind a resource; `None` if another plugin serves it.
pub(crate) fn pool_of(resource: &str) -> Option<PoolName> {
    let pool = resource.strip_prefix(RESOURCE_DOMAIN)?.strip_prefix('/')?;
    PoolName::try_new(pool).ok()
}
