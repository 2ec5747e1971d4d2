//! One plugin, a thousand kubelets, and all that goes wrong between them.
//!
//! A seeded driver leads a [`Supervisor`](device_plugin::Supervisor) with up to three resources
//! through many lives of a kubelet. Each life has faults, and resources and devices that come
//! and go. After each life's faults the kubelet must advertise the truth, and after all lives
//! there must be no more tasks, descriptors and memory than near the beginning.
//!
//! ```text
//! FAULT_SEED=7 FAULT_LIFETIMES=40 cargo test -p device-plugin --test faults -- --nocapture
//! ```
//!
//! It is a test of its own, because it counts what the whole process holds. It runs in a user
//! and mount namespace with a small file system where that is allowed, so that a full disk is
//! one: a directory without write permission would not stop root, and no limit of a process
//! counts sockets. Where it is not allowed, something that is no socket is in the way instead.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it needs"
)]

mod disk;
mod figures;
mod leaks;
mod lifetime;
mod plan;
mod random;
mod truth;

use std::{env, fmt::Display, str::FromStr};

use disk::Disk;
use leaks::Holdings;
use lifetime::Node;
use plan::Plan;
use random::Random;
use tokio::runtime::Builder;

/// The seed unless `FAULT_SEED` says otherwise.
const SEED: u64 = 20_240_229;
/// The number of lives unless `FAULT_LIFETIMES` says otherwise.
const LIFETIMES: u64 = 1_000;
/// What there is after this life is compared with what there is at the end of a longer run.
const WARM: u64 = 200;
/// How much more memory there may be at the end, in KiB. A kibibyte lost in each life is less
/// than an allocator's mood, two are not.
const GROWTH: u64 = 1_536;

#[test]
fn a_thousand_kubelets() {
    let Some(disk) = Disk::enter("a_thousand_kubelets") else {
        // Another process has done it.
        return;
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(async { tokio::spawn(run(disk)).await.unwrap() });
    if let Err(error) = result {
        panic!("{error}");
    }
}

async fn run(disk: Disk) -> Result<(), String> {
    let seed = setting("FAULT_SEED", SEED);
    let lifetimes = setting("FAULT_LIFETIMES", LIFETIMES);
    println!("seed {seed}, {lifetimes} lifetimes, {disk}");
    let nothing = Holdings::at_rest().await;
    let mut node = Node::new(disk).await;
    let mut before = None;
    for number in 0..lifetimes {
        let plan = Plan::new(&mut Random::new(seed, number));
        node.live(&plan).await.map_err(|error| {
            format!(
                "lifetime {number} went wrong: {plan:#?}\n{error}\nTo see it again:\n  \
                 FAULT_SEED={seed} FAULT_LIFETIMES={} cargo test -p device-plugin --test faults \
                 -- --nocapture",
                number + 1
            )
        })?;
        if number == WARM {
            before = Some(node.holdings().await);
        }
    }
    let after = node.holdings().await;
    println!("{}", node.figures);
    if let Some(before) = before {
        println!("after lifetime {WARM}: {before}\nat the end: {after}");
        after.compare(&before, GROWTH)?;
    }
    node.end().await;
    let left = Holdings::at_rest().await;
    println!("after the shutdown: {left}");
    left.compare(&nothing, left.memory())
}

fn setting<T: FromStr<Err: Display>>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => match text.parse() {
            Ok(value) => value,
            Err(error) => panic!("`{name}` is `{text}`: {error}"),
        },
        Err(_) => default,
    }
}
