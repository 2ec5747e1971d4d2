//! A node made by hand: PFs with all their VFs on `vfio-pci`, to be spoiled by the tests.

use std::collections::{BTreeMap, BTreeSet};

use qat_policy::{
    Facts, Family, Inventory, PfReading, PfTrouble, Reason, Rules, Services, Standing,
};
use sysfs_pci::{
    ClassCode, DriverName, Function, IommuGroupId, Neighbour, NeighbourDriver, NumaNode,
    PciAddress, PciId, Role, Snapshot, Sriov, VfIndex,
};
use vfio_host::{NodeError, NodeKind, UioNode, VfioNode, groups};

pub(crate) struct Node {
    pub(crate) snapshot: Snapshot,
    pub(crate) nodes: BTreeMap<IommuGroupId, Result<VfioNode, NodeError>>,
    pub(crate) control: Result<VfioNode, NodeError>,
    pub(crate) uio: BTreeMap<PciAddress, Result<UioNode, NodeError>>,
    pub(crate) readings: BTreeMap<PciAddress, PfReading>,
    pub(crate) denylist_disabled: Option<bool>,
    pub(crate) iommu_present: bool,
    pub(crate) advertised: BTreeSet<PciAddress>,
}

pub(crate) fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

pub(crate) fn driver(name: &str) -> DriverName {
    name.parse().unwrap()
}

pub(crate) fn missing(path: &str) -> NodeError {
    NodeError::Missing { path: path.into() }
}

fn vfio_node(kind: NodeKind, path: String) -> VfioNode {
    VfioNode {
        kind,
        host_path: path.clone().into(),
        container_path: path.into(),
    }
}

impl Node {
    pub(crate) fn empty() -> Self {
        Self {
            snapshot: Snapshot::default(),
            nodes: BTreeMap::new(),
            control: Ok(vfio_node(NodeKind::Control, "/dev/vfio/vfio".to_owned())),
            uio: BTreeMap::new(),
            readings: BTreeMap::new(),
            denylist_disabled: Some(false),
            iommu_present: true,
            advertised: BTreeSet::new(),
        }
    }

    /// One PF of a family at 0000:6b:00.0 with these services.
    pub(crate) fn with_pf(family: Family, services: Option<&str>) -> Self {
        Self::empty().pf(family, 0x6b, 0, services)
    }

    /// Adds a PF at `bus`:00.0 with all its VFs from 00.1 on, each in a group of its own.
    pub(crate) fn pf(mut self, family: Family, bus: u8, numa: u32, services: Option<&str>) -> Self {
        let spec = family.spec();
        let pf = PciAddress::new(0, bus, 0, 0).unwrap();
        let mut vfs = BTreeMap::new();
        for index in 0..spec.total_vfs {
            let routing = u8::try_from(index + 1).unwrap();
            let vf = PciAddress::new(0, bus, routing / 8, routing % 8).unwrap();
            vfs.insert(VfIndex::new(index), vf);
            let role = Role::Virtual {
                pf,
                index: Some(VfIndex::new(index)),
            };
            self.add(vf, spec.vf, "vfio-pci", role);
        }
        let sriov = Sriov {
            numa_node: Some(NumaNode::new(numa)),
            capable: true,
            vfs,
        };
        self.add(pf, spec.pf, spec.pf_driver, Role::Physical(sriov));
        let services = services.map(|text| Services::parse(text).unwrap());
        self.readings.insert(
            pf,
            PfReading {
                services: Ok(services),
            },
        );
        self
    }

    /// Adds a function with a group and a node of its own.
    pub(crate) fn add(&mut self, address: PciAddress, id: PciId, bound: &str, role: Role) {
        let group = IommuGroupId::new(u32::try_from(self.snapshot.functions.len()).unwrap() + 320);
        self.nodes.insert(
            group,
            Ok(vfio_node(NodeKind::Group, format!("/dev/vfio/{group}"))),
        );
        self.snapshot.functions.insert(
            address,
            Function {
                address,
                id,
                subsystem: PciId::new(0x8086, 0),
                class: ClassCode::new(0x0b_4000).unwrap(),
                driver: Some(driver(bound)),
                iommu_group: Some(group),
                role,
            },
        );
    }

    pub(crate) fn function(&mut self, at: &str) -> &mut Function {
        self.snapshot.functions.get_mut(&address(at)).unwrap()
    }

    /// Puts a function of another make, with a driver, into the group of a VF.
    pub(crate) fn neighbour(&mut self, at: &str, bound: Option<&str>, vf: &str) {
        let iommu_group = self.function(vf).iommu_group;
        let neighbour = Neighbour {
            address: address(at),
            id: PciId::new(0x8086, 0x1520),
            class: ClassCode::new(0x02_0000).unwrap(),
            driver: match bound {
                None => NeighbourDriver::None,
                Some(name) => NeighbourDriver::Bound {
                    name: driver(name),
                    vfio: false,
                },
            },
            iommu_group,
        };
        self.snapshot
            .neighbours
            .insert(neighbour.address, neighbour);
    }

    pub(crate) fn inventory(&self) -> Inventory {
        self.inventory_by(&Rules::default())
    }

    pub(crate) fn inventory_by(&self, rules: &Rules) -> Inventory {
        let facts = Facts {
            snapshot: &self.snapshot,
            groups: &groups(&self.snapshot),
            nodes: &self.nodes,
            control: &self.control,
            sick: &BTreeMap::new(),
            uio: &self.uio,
            readings: &self.readings,
            denylist_disabled: self.denylist_disabled,
            iommu_present: self.iommu_present,
            advertised: &self.advertised,
        };
        Inventory::build(&facts, rules)
    }
}

/// The reason for which a VF is withheld.
pub(crate) fn reason(inventory: &Inventory, at: &str) -> Reason {
    match &inventory.vfs[&address(at)].standing {
        Standing::Withheld(reason) => reason.clone(),
        Standing::Offered { pool } => panic!("{at} is offered as {pool}"),
    }
}

/// How many VFs each pool has.
pub(crate) fn counts(inventory: &Inventory) -> Vec<(String, usize)> {
    inventory
        .pools()
        .into_iter()
        .map(|(pool, vfs)| (pool.to_string(), vfs.len()))
        .collect()
}

/// Holds that of the sixteen VFs of 0000:6b:00.0 only the first is withheld, and returns why.
pub(crate) fn only_the_first(node: &Node) -> Reason {
    let inventory = node.inventory();
    assert_eq!(inventory.vfs.len(), 16);
    assert_eq!(inventory.offered().count(), 15);
    reason(&inventory, "0000:6b:00.1")
}

/// What [`counts`] should say.
pub(crate) fn pools(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

/// The troubles of 0000:6b:00.0.
pub(crate) fn trouble(node: &Node) -> Vec<PfTrouble> {
    node.inventory().pfs[&address("0000:6b:00.0")]
        .trouble
        .clone()
}

/// A 4xxx at 0000:6b:00.0 for cryptography.
pub(crate) fn gen4() -> Node {
    Node::with_pf(Family::Gen4_4xxx, Some("sym;asym"))
}
