//! Which devices are preferred: the question, and the answer in the form that the kubelet wants.

use crate::device::DeviceId;
use std::collections::BTreeSet;

/// Free devices to choose from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PreferRequest {
    /// The devices that may be chosen, sorted, without duplicates.
    pub available: Vec<DeviceId>,
    /// Those that must be chosen, sorted, without duplicates.
    pub must_include: Vec<DeviceId>,
    /// How many devices to choose, those that must be included among them.
    pub size: usize,
}

/// Takes what must be included, then the first of the others.
pub(crate) fn first_in_order(request: &PreferRequest) -> Vec<DeviceId> {
    sanitise(request, Vec::new())
}

/// Makes of an author's `choice` an answer: all that must be included, nothing that is not
/// available, nothing twice, `size` in all if there are as many, sorted.
pub(crate) fn sanitise(request: &PreferRequest, choice: Vec<DeviceId>) -> Vec<DeviceId> {
    let available: BTreeSet<&DeviceId> = request.available.iter().collect();
    let must_include: BTreeSet<&DeviceId> = request.must_include.iter().collect();
    let mut answer: BTreeSet<DeviceId> = must_include
        .into_iter()
        .take(request.size)
        .cloned()
        .collect();
    let chosen = choice.into_iter().filter(|id| available.contains(id));
    let rest = available.iter().map(|&id| id.clone());
    for id in chosen.chain(rest) {
        if answer.len() >= request.size {
            break;
        }
        answer.insert(id);
    }
    answer.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, sample::subsequence};

    fn ids(texts: &[&str]) -> Vec<DeviceId> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn request(available: &[&str], must_include: &[&str], size: usize) -> PreferRequest {
        PreferRequest {
            available: ids(available),
            must_include: ids(must_include),
            size,
        }
    }

    #[test]
    fn must_include_comes_first_then_the_choice_then_the_order() {
        let request = request(&["a", "b", "c", "d", "e"], &["e"], 3);
        assert_eq!(first_in_order(&request), ids(&["a", "b", "e"]));
        assert_eq!(sanitise(&request, ids(&["d"])), ids(&["a", "d", "e"]));
        assert_eq!(
            sanitise(&request, ids(&["x", "d", "d", "c", "b"])),
            ids(&["c", "d", "e"])
        );
    }

    #[test]
    fn a_request_that_cannot_be_met_is_met_as_far_as_possible() {
        assert_eq!(first_in_order(&request(&["a"], &[], 3)), ids(&["a"]));
        assert_eq!(
            first_in_order(&request(&["a"], &["b"], 2)),
            ids(&["a", "b"])
        );
        assert_eq!(first_in_order(&request(&["a"], &[], 0)), ids(&[]));
    }

    proptest! {
        #[test]
        fn the_answer_is_what_the_kubelet_wants(
            (available, must_include) in prop::collection::btree_set("[a-z]{1,2}", 0..20)
                .prop_flat_map(|set| {
                    let all: Vec<String> = set.into_iter().collect();
                    (Just(all.clone()), subsequence(all.clone(), 0..=all.len()))
                }),
            choice in prop::collection::vec("[a-z]{1,2}", 0..20),
            more in 0_usize..8,
        ) {
            let parse = |texts: &[String]| -> Vec<DeviceId> {
                texts.iter().map(|text| text.parse().unwrap()).collect()
            };
            let request = PreferRequest {
                available: parse(&available),
                must_include: parse(&must_include),
                size: must_include.len() + more,
            };
            let answer = sanitise(&request, parse(&choice));
            prop_assert_eq!(answer.len(), request.size.min(request.available.len()));
            prop_assert!(answer.is_sorted_by(|a, b| a < b));
            prop_assert!(answer.iter().all(|id| request.available.contains(id)));
            prop_assert!(request.must_include.iter().all(|id| answer.contains(id)));
        }
    }
}
