//! Which names Kubernetes accepts for an extended resource.

/// The rule of `IsExtendedResourceName` (Kubernetes `pkg/apis/core/v1/helper/helpers.go`):
/// a slash, no `kubernetes.io/`, no `requests.` in front, and `requests.<name>` is a
/// qualified name. The prefix of a qualified name is a DNS-1123 subdomain of at most 253
/// characters.
pub(super) fn is_extended_resource(name: &str) -> bool {
    const QUOTA_PREFIX: &str = "requests.";
    if name.contains("kubernetes.io/") || name.starts_with(QUOTA_PREFIX) {
        return false;
    }
    let Some((prefix, last)) = name.split_once('/') else {
        return false;
    };
    !prefix.is_empty()
        && prefix.len() + QUOTA_PREFIX.len() <= 253
        && prefix.split('.').all(is_dns_label)
        && is_last_part(last)
}

/// A part of a DNS-1123 subdomain. The subdomain as a whole has a limit, its parts have none.
fn is_dns_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    edges(label, inner) && label.bytes().all(|b| inner(b) || b == b'-')
}

fn is_last_part(part: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric();
    part.len() <= 63
        && edges(part, inner)
        && part
            .bytes()
            .all(|b| inner(b) || matches!(b, b'-' | b'_' | b'.'))
}

fn edges(text: &str, good: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(&good) && bytes.last().copied().is_some_and(&good)
}

#[cfg(test)]
mod tests {
    use super::is_extended_resource;

    #[test]
    fn names() {
        for good in [
            "example.com/nic",
            "qat.intel.com/sym-dc",
            "a/B_c.d-1",
            "example.com/4xxx",
        ] {
            assert!(is_extended_resource(good), "{good}");
        }
        let long = format!("example.com/{}", "x".repeat(64));
        let longer = format!("{}/nic", "x".repeat(245));
        for bad in [
            "",
            "nic",
            "/nic",
            "example.com/",
            "example.com/a/b",
            "Example.com/nic",
            "example..com/nic",
            "-a.com/nic",
            "example.com/-nic",
            "example.com/nic.",
            "node.kubernetes.io/nic",
            "requests.example.com/nic",
            "example.com/n c",
            &long,
            &longer,
        ] {
            assert!(!is_extended_resource(bad), "{bad}");
        }
    }
}
