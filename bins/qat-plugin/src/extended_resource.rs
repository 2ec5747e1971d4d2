//! The command `extended-resource`: prints how a resource is added to a node by hand, or removed.
//!
//! The kubelet owns the resources of device plugins: it writes their numbers into the node's status, and when a plugin is gone for
//! good the line stays with 0, which does no harm. Who wants to be rid of it, or to try something with a resource that nobody
//! offers, patches the status of the node. This prints the patch and changes nothing.

use anyhow::{Context as _, bail, ensure};
use device_plugin::ResourceName;
use qat_node::RESOURCE_DOMAIN;
use serde_json::json;

use crate::args::{Action, ExtendedResourceArgs};

/// The patch, for kubectl and for curl.
///
/// # Errors
///
/// A sentence: the resource or the node has no valid name, or the count does not fit.
pub(crate) fn text(args: &ExtendedResourceArgs) -> anyhow::Result<String> {
    let full = if args.name.contains('/') {
        args.name.clone()
    } else {
        format!("{RESOURCE_DOMAIN}/{}", args.name)
    };
    let resource: ResourceName = full
        .parse()
        .with_context(|| format!("`{full}` is no resource"))?;
    check_node(&args.node)?;
    let place = format!("/status/capacity/{}", pointer(resource.as_str()));
    let patch = match (args.action, args.count) {
        (Action::Add, Some(count)) => {
            json!([{ "op": "add", "path": place, "value": count.to_string() }])
        }
        (Action::Add, None) => bail!(
            "how many? `extended-resource add {} COUNT --node {}`",
            args.name,
            args.node
        ),
        (Action::Remove, None) => json!([{ "op": "remove", "path": place }]),
        (Action::Remove, Some(_)) => bail!("all of it is removed; leave the count out"),
    };
    let node = &args.node;
    Ok(format!(
        "\
# Nothing was changed. A resource that a device plugin offers is the kubelet's, which writes its number again.
kubectl patch node {node} --subresource=status --type=json -p '{patch}'

# The same without kubectl's own command, through `kubectl proxy`:
curl --header 'Content-Type: application/json-patch+json' --request PATCH --data '{patch}' \\
  http://localhost:8001/api/v1/nodes/{node}/status
"
    ))
}

/// A part of a JSON pointer (RFC 6901).
fn pointer(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// A node is called as a host is, so that its name needs no quotes.
fn check_node(name: &str) -> anyhow::Result<()> {
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty()
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    ensure!(
        name.len() <= 253 && name.split('.').all(label),
        "`{}` is no name of a node: lower-case letters, digits, `-` and `.`",
        name.escape_debug()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(action: Action, name: &str, count: Option<u32>, node: &str) -> ExtendedResourceArgs {
        ExtendedResourceArgs {
            action,
            name: name.to_owned(),
            count,
            node: node.to_owned(),
        }
    }

    #[test]
    fn the_patch_is_that_of_the_documentation() {
        let text = text(&args(Action::Add, "cy", Some(6), "worker-1")).unwrap();
        assert!(text.contains(
            r#"kubectl patch node worker-1 --subresource=status --type=json -p '[{"op":"add","path":"/status/capacity/qat.intel.com~1cy","value":"6"}]'"#
        ), "{text}");
        assert!(
            text.contains("http://localhost:8001/api/v1/nodes/worker-1/status"),
            "{text}"
        );
        let text = super::text(&args(Action::Remove, "intel.com/qat", None, "a.b")).unwrap();
        assert!(
            text.contains(r#"[{"op":"remove","path":"/status/capacity/intel.com~1qat"}]"#),
            "{text}"
        );
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (args, says) in [
            (args(Action::Add, "cy", None, "n"), "how many?"),
            (
                args(Action::Remove, "cy", Some(1), "n"),
                "leave the count out",
            ),
            (args(Action::Remove, "c y", None, "n"), "is no resource"),
            (args(Action::Remove, "a/b/c", None, "n"), "is no resource"),
            (
                args(Action::Remove, "cy", None, "a'; rm -rf /"),
                "is no name of a node",
            ),
            (args(Action::Remove, "cy", None, ""), "is no name of a node"),
            (
                args(Action::Remove, "cy", None, "-a"),
                "is no name of a node",
            ),
        ] {
            let error = text(&args).unwrap_err();
            assert!(format!("{error:#}").contains(says), "{error:#}");
        }
    }

    #[test]
    fn a_pointer_is_escaped() {
        assert_eq!(pointer("a/b~c"), "a~1b~0c");
    }
}
