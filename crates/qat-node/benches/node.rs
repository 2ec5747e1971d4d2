//! A full look at the machine, and Allocate with its re-check, at three sizes of node.
//!
//! `cargo bench -p qat-node`; method and results are in docs/performance.md.
#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use device_plugin::{DeviceId, DevicePlugin as _};
use node_sim::{Machine, Profile, SimNode};
use qat_node::hints::Pace;
use qat_node::pools::PoolSettings;
use qat_node::{
    Calm, Given, Ledger, Looker, NodeSettings, NodeState, PoolBackend, Recheck, Roots, Terms,
    Wishes, judge, resource_name,
};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// PFs and VFs per PF.
const SIZES: [(u8, u16); 3] = [(1, 16), (8, 16), (16, 256)];

struct Bench {
    settings: NodeSettings,
    _node: SimNode,
    _dir: TempDir,
}

impl Bench {
    fn new(pfs: u8, vfs: u16) -> Self {
        let dir = node_sim::scratch().unwrap();
        let node = Machine::profile(Profile::Scale { pfs, vfs })
            .write(dir.path())
            .unwrap();
        let settings = NodeSettings {
            roots: Roots::new(node.sysfs(), node.dev()).with_kubelet(node.kubelet_dir()),
            wishes: Wishes::default().fixed(),
            pace: Pace::AsNeeded,
            metrics: Arc::default(),
            state_dir: dir.path().join("state"),
            binding: None,
            labels: None,
        };
        Self {
            settings,
            _node: node,
            _dir: dir,
        }
    }

    fn backend(&self) -> (PoolBackend, Vec<DeviceId>) {
        let mut looker = Looker::new(&self.settings.roots, self.settings.rules());
        let look = looker.look(&BTreeSet::new()).unwrap();
        let state = judge(
            &NodeState::default(),
            &look,
            &Ledger::default(),
            Calm::default(),
            Instant::now(),
        );
        let pool = state.pools.keys().next().unwrap().clone();
        let set = state.device_set(&pool, true);
        let ids = set.iter().take(1).map(|device| device.id.clone()).collect();
        let backend = PoolBackend {
            resource: resource_name(&pool).unwrap(),
            pool,
            terms: watch::Sender::new(Terms {
                settings: PoolSettings::default(),
                recheck: Arc::new(Recheck::new(&self.settings.roots, &self.settings.rules())),
            })
            .subscribe(),
            described: Arc::default(),
            given: Arc::<Given>::default(),
            state: watch::Sender::new(Arc::new(state)).subscribe(),
            devices: watch::Sender::new(Arc::new(set)).subscribe(),
            calls: mpsc::unbounded_channel().0,
        };
        (backend, ids)
    }
}

fn look(c: &mut Criterion) {
    let mut group = c.benchmark_group("look");
    for (pfs, vfs) in SIZES {
        let bench = Bench::new(pfs, vfs);
        let count = u64::from(pfs) * u64::from(vfs);
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("first", count), |b| {
            b.iter(|| {
                let mut looker = Looker::new(&bench.settings.roots, bench.settings.rules());
                black_box(looker.look(&BTreeSet::new()).unwrap())
            });
        });
        let mut looker = Looker::new(&bench.settings.roots, bench.settings.rules());
        group.bench_function(BenchmarkId::new("again", count), |b| {
            b.iter(|| black_box(looker.look(&BTreeSet::new()).unwrap()));
        });
    }
    group.finish();
}

fn allocate(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut group = c.benchmark_group("allocate");
    for (pfs, vfs) in SIZES {
        let bench = Bench::new(pfs, vfs);
        let (backend, ids) = bench.backend();
        group.bench_function(
            BenchmarkId::new("one VF", u64::from(pfs) * u64::from(vfs)),
            |b| {
                b.iter(|| runtime.block_on(backend.allocate(black_box(&ids))).unwrap());
            },
        );
    }
    group.finish();
}

criterion_group!(benches, look, allocate);
criterion_main!(benches);
