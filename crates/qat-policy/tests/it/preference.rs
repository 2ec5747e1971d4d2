//! Which VFs a container gets.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use qat_policy::AllocationPolicy::{self, Balanced, None as Unset, Packed};
use qat_policy::{Place, prefer};
use sysfs_pci::{NumaNode, PciAddress};

use crate::node::address;

/// The VFs of a PF at `bus`:00.0 with these numbers.
fn vfs(bus: u8, numa: Option<u32>, indices: impl IntoIterator<Item = u8>) -> Vec<Place> {
    let at = |n: u8| PciAddress::new(0, bus, n / 8, n % 8).unwrap();
    let numa_node = numa.map(NumaNode::new);
    indices
        .into_iter()
        .map(|n| Place {
            address: at(n + 1),
            pf: Some(at(0)),
            numa_node,
        })
        .collect()
}

fn texts(chosen: &[PciAddress]) -> Vec<String> {
    chosen.iter().map(ToString::to_string).collect()
}

fn per_bus(chosen: &[PciAddress]) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    for address in chosen {
        *counts.entry(address.bus()).or_default() += 1;
    }
    counts
}

#[test]
fn balanced_looks_at_what_is_free() {
    // Ordering by slot, as the Go plugin does, gives 6b:00.1 and empties the fuller PF.
    let free = [vfs(0x6b, Some(0), [0]), vfs(0x70, Some(0), 0..16)].concat();
    assert_eq!(texts(&prefer(Balanced, &free, &[], 1)), ["0000:70:00.1"]);
    assert_eq!(
        per_bus(&prefer(Balanced, &free, &[], 4)),
        BTreeMap::from([(0x70, 4)])
    );
}

#[test]
fn balanced_does_not_follow_the_slot() {
    // By slot, 6b:00.1 and 6b:00.2 would come before 70:01.0; by what is free, one comes from each
    // PF.
    let free = [vfs(0x6b, Some(0), [0, 1]), vfs(0x70, Some(0), [7, 8])].concat();
    assert_eq!(
        texts(&prefer(Balanced, &free, &[], 2)),
        ["0000:6b:00.1", "0000:70:01.0"]
    );
}

#[test]
fn packed_fills_what_is_in_use() {
    // Ordering by address, as the Go plugin does, begins a PF that is wholly free.
    let free = [vfs(0x6b, Some(0), 0..16), vfs(0x70, Some(0), [4, 5])].concat();
    assert_eq!(
        texts(&prefer(Packed, &free, &[], 2)),
        ["0000:70:00.5", "0000:70:00.6"]
    );
    assert_eq!(
        per_bus(&prefer(Packed, &free, &[], 3)),
        BTreeMap::from([(0x6b, 1), (0x70, 2)])
    );
}

#[test]
fn balanced_goes_round_equal_pfs() {
    let free = [0x6b, 0x70, 0x75, 0x7a]
        .map(|bus| vfs(bus, Some(0), 0..16))
        .concat();
    let expected = BTreeMap::from([(0x6b, 2), (0x70, 2), (0x75, 1), (0x7a, 1)]);
    assert_eq!(per_bus(&prefer(Balanced, &free, &[], 6)), expected);
}

#[test]
fn must_include_is_included() {
    // The Go plugin ignores it under all its policies.
    let free = [vfs(0x6b, Some(0), 0..4), vfs(0xe8, Some(1), 0..4)].concat();
    let must = [address("0000:e8:00.4")];
    for policy in [Unset, Packed, Balanced] {
        let chosen = prefer(policy, &free, &must, 3);
        assert!(chosen.contains(&must[0]), "{policy}");
        assert_eq!(
            per_bus(&chosen),
            BTreeMap::from([(0xe8, 3)]),
            "{policy}: the node of must-include has room"
        );
    }
}

#[test]
fn a_node_with_room_wins() {
    let free = [
        vfs(0x6b, Some(0), 0..3),
        vfs(0xe8, Some(1), 0..2),
        vfs(0xed, Some(1), 0..2),
    ]
    .concat();
    for policy in [Unset, Packed, Balanced] {
        let chosen = prefer(policy, &free, &[], 4);
        assert_eq!(
            per_bus(&chosen),
            BTreeMap::from([(0xe8, 2), (0xed, 2)]),
            "{policy}"
        );
    }
    // Where no node has room, as few nodes as possible: all of the larger one first.
    let chosen = prefer(Unset, &free, &[], 5);
    assert_eq!(
        per_bus(&chosen),
        BTreeMap::from([(0x6b, 1), (0xe8, 2), (0xed, 2)])
    );
}

#[test]
fn must_include_on_a_node_that_is_full_takes_what_is_there_first() {
    let free = [vfs(0x6b, Some(0), 0..2), vfs(0xe8, Some(1), 0..8)].concat();
    let chosen = prefer(Balanced, &free, &[address("0000:6b:00.1")], 4);
    assert_eq!(per_bus(&chosen), BTreeMap::from([(0x6b, 2), (0xe8, 2)]));
}

#[test]
fn none_takes_the_lowest_addresses() {
    let free = [vfs(0x70, Some(0), 0..2), vfs(0x6b, Some(0), [9, 2])].concat();
    assert_eq!(
        texts(&prefer(Unset, &free, &[], 3)),
        ["0000:6b:00.3", "0000:6b:01.2", "0000:70:00.1"]
    );
}

#[test]
fn a_guest_knows_neither_pf_nor_node() {
    let free: Vec<Place> = vfs(5, None, 0..4)
        .into_iter()
        .map(|place| Place { pf: None, ..place })
        .rev()
        .collect();
    for policy in [Unset, Packed, Balanced] {
        assert_eq!(
            texts(&prefer(policy, &free, &[], 2)),
            ["0000:05:00.1", "0000:05:00.2"],
            "{policy}"
        );
    }
}

#[test]
fn nonsense_gives_fewer_not_an_error() {
    let free = vfs(0x6b, Some(0), 0..2);
    for policy in [Unset, Packed, Balanced] {
        assert_eq!(prefer(policy, &[], &[address("0000:6b:00.1")], 3), []);
        assert_eq!(prefer(policy, &free, &[], 0), []);
        assert_eq!(prefer(policy, &free, &[], usize::MAX).len(), 2);
        assert_eq!(
            texts(&prefer(policy, &free, &[address("0000:ff:00.0")], 1)),
            ["0000:6b:00.1"]
        );
        let all: Vec<_> = free.iter().map(|place| place.address).rev().collect();
        assert_eq!(texts(&prefer(policy, &free, &all, 1)), ["0000:6b:00.1"]);
    }
}

#[test]
fn policies_as_text() {
    for policy in [Unset, Packed, Balanced] {
        assert_eq!(
            policy.to_string().parse::<AllocationPolicy>().unwrap(),
            policy
        );
        assert_eq!(
            serde_json::to_string(&policy).unwrap(),
            format!("\"{policy}\"")
        );
    }
    for bad in ["", "Packed", "spread"] {
        let error = bad.parse::<AllocationPolicy>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("unknown allocation policy `{bad}`; allowed are: none, packed, balanced")
        );
    }
}

prop_compose! {
    /// Up to six PFs on up to three nodes (or none), some of their VFs free, in any order.
    fn free_vfs()(pfs in prop::collection::vec((prop::option::of(0u32..3), prop::collection::btree_set(0u8..16, 0..16)), 0..6))
        (places in Just(pfs.into_iter().zip(1u8..).flat_map(|((numa, free), bus)| vfs(bus, numa, free)).collect::<Vec<_>>()).prop_shuffle())
        -> Vec<Place> { places }
}

prop_compose! {
    fn request()(free in free_vfs())
        (must in prop::sample::subsequence(free.clone(), 0..=free.len().min(4)),
         size in 0usize..40,
         policy in prop::sample::select(vec![Unset, Packed, Balanced]),
         free in Just(free))
        -> (AllocationPolicy, Vec<Place>, Vec<PciAddress>, usize) {
        (policy, free, must.iter().map(|place| place.address).collect(), size)
    }
}

proptest! {
    #[test]
    fn invariants((policy, free, must, size) in request()) {
        let chosen = prefer(policy, &free, &must, size);
        let places: BTreeMap<PciAddress, Place> = free.iter().map(|place| (place.address, *place)).collect();
        prop_assert_eq!(chosen.len(), size.min(places.len()));
        prop_assert!(chosen.is_sorted_by(|a, b| a < b), "sorted, no duplicates");
        prop_assert!(chosen.iter().all(|address| places.contains_key(address)));
        let taken: BTreeSet<PciAddress> = chosen.iter().copied().collect();
        if must.len() <= size {
            prop_assert!(must.iter().all(|address| taken.contains(address)));
        } else {
            prop_assert!(taken.iter().all(|address| must.contains(address)));
        }

        let mut turned = free.clone();
        turned.reverse();
        prop_assert_eq!(&prefer(policy, &turned, &must, size), &chosen, "the order of the request does not matter");

        // As few nodes as possible: those of must-include, and then the largest.
        let node_of = |address: &PciAddress| places[address].numa_node;
        if must.len() <= size {
            let home: BTreeSet<_> = must.iter().map(node_of).collect();
            let mut room: BTreeMap<_, usize> = BTreeMap::new();
            for address in places.keys().filter(|address| !must.contains(address)) {
                *room.entry(node_of(address)).or_default() += 1;
            }
            let mut needed = chosen.len() - must.len();
            needed = needed.saturating_sub(home.iter().filter_map(|node| room.get(node)).sum());
            let mut others: Vec<usize> = room.iter().filter(|(node, _)| !home.contains(*node)).map(|(_, n)| *n).collect();
            others.sort_unstable();
            let mut fewest = home.len();
            while needed > 0 {
                needed = needed.saturating_sub(others.pop().unwrap());
                fewest += 1;
            }
            prop_assert_eq!(chosen.iter().map(node_of).collect::<BTreeSet<_>>().len(), fewest);
        }
    }

    #[test]
    fn balanced_levels_and_packed_uses_up(free in free_vfs(), size in 0usize..40) {
        // One node, so that only the PFs matter.
        let free: Vec<Place> = free.into_iter().map(|place| Place { numa_node: None, ..place }).collect();
        let mut before: BTreeMap<u8, usize> = BTreeMap::new();
        for place in &free {
            *before.entry(place.address.bus()).or_default() += 1;
        }
        let given = per_bus(&prefer(Balanced, &free, &[], size));
        let left = |bus: &u8| before[bus] - given.get(bus).copied().unwrap_or(0);
        let most_left = before.keys().map(left).max().unwrap_or(0);
        for bus in given.keys() {
            prop_assert!(left(bus) + 1 >= most_left, "a PF gave although another had more");
        }

        let given = per_bus(&prefer(Packed, &free, &[], size));
        let begun = given.iter().filter(|(bus, count)| before[*bus] > **count).count();
        prop_assert!(begun <= 1, "at most one PF is left partly used by this request");
        let smallest_unused = before.iter().filter(|(bus, _)| !given.contains_key(*bus)).map(|(_, n)| *n).min();
        let largest_used = given.keys().map(|bus| before[bus]).max();
        if let (Some(unused), Some(used)) = (smallest_unused, largest_used) {
            prop_assert!(used <= unused, "PFs with fewer free VFs come first");
        }
    }

    #[test]
    fn garbage_never_panics(
        numbers in prop::collection::vec((any::<u8>(), any::<u8>(), prop::option::of(any::<u8>()), prop::option::of(any::<u32>())), 0..50),
        must in prop::collection::vec(any::<u8>(), 0..10),
        size in any::<usize>(),
    ) {
        let at = |bus: u8| PciAddress::new(0, bus, 0, 0).unwrap();
        let free: Vec<Place> = numbers.iter()
            .map(|(bus, _, pf, numa)| Place { address: at(*bus), pf: pf.map(at), numa_node: numa.map(NumaNode::new) })
            .collect();
        let must: Vec<PciAddress> = must.into_iter().map(at).collect();
        for policy in [Unset, Packed, Balanced] {
            let distinct: BTreeSet<PciAddress> = free.iter().map(|place| place.address).collect();
            prop_assert_eq!(prefer(policy, &free, &must, size).len(), size.min(distinct.len()));
        }
    }
}
