//! How the simulated kubelet differs from the recorded ones. A difference that is not listed fails
//! the test, and so does one that is listed and not there.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use node_sim::{KubeletOptions, Reregistration};

use super::{Recording, StepDifference, simulate};

/// A difference that is known.
struct Known {
    /// The steps where it shows: `scenario: step`, the lines of the real kubelet, and those of the
    /// simulated one.
    steps: &'static [(
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    )],
    /// What differs, and why, for the documentation of `node-sim`.
    reason: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        steps: &[(
            "first-contact: headers of the calls to first.sock",
            &[
                "every call: grpc-accept-encoding: gzip",
                "every call: te: trailers",
                "every call: user-agent: grpc-go",
            ],
            &["every call: te: trailers", "every call: user-agent: tonic"],
        )],
        reason: "The header `grpc-accept-encoding: gzip` is missing and `user-agent` is tonic's: the client \
                 has no compression. A plugin that compresses its responses is not tested.",
    },
    Known {
        steps: &[(
            "no-socket: register example.com/nowhere at nowhere.sock",
            &[
                "rejected after about 10 s, Unknown: failed to dial device plugin: context deadline \
               exceeded",
            ],
            &[
                "rejected after about 10 s, Unknown: failed to dial device plugin: context deadline \
               exceeded (No such file or directory (os error 2))",
            ],
        )],
        reason: "The error of a failed dial ends with its reason, in parentheses. The real kubelet does not \
                 give one, and a test that fails needs it.",
    },
    Known {
        steps: &[
            (
                "lists: create pod lists-early with 1 example.com/lists",
                &["pod runs"],
                &[
                    "pod failed, UnexpectedAdmissionError: Pod was rejected: Allocate failed due to no \
                   healthy devices present; cannot allocate unhealthy devices example.com/lists, \
                   which is unexpected",
                ],
            ),
            (
                "allocate: create pod allocate-unknown with 1 example.com/unknown",
                &["pod runs"],
                &[
                    "pod failed, UnexpectedAdmissionError: Pod was rejected: Allocate failed due to \
                   cannot allocate unregistered device example.com/unknown, which is unexpected",
                ],
            ),
        ],
        reason: "A pod is rejected if its resource is unknown or has had no device list yet. The real kubelet \
                 starts such a pod without a device, because it does not take the resource for one of a \
                 device plugin. In a cluster the scheduler does not place it, and a test wants the error.",
    },
    Known {
        steps: &[(
            "allocate: create pod allocate-huge with 2 example.com/allocate",
            &[
                "pod failed, UnexpectedAdmissionError: Pod was rejected: Allocate failed due to rpc \
               error: code = ResourceExhausted desc = grpc: received message larger than max \
               (5242903 vs. 4194304), which is unexpected",
            ],
            &[
                "pod failed, UnexpectedAdmissionError: Pod was rejected: Allocate failed due to rpc \
               error: code = OutOfRange desc = Error, decoded message length too large: found \
               5242903 bytes, the limit is: 4194304 bytes, which is unexpected",
            ],
        )],
        reason: "A message of more than 4 MiB fails with tonic's code and text instead of those of gRPC for \
                 Go. The limit is the same.",
    },
    Known {
        steps: &[(
            "empty-answer: create pod empty-next with 1 example.com/empty",
            &[
                "pod failed, UnexpectedAdmissionError: Pod was rejected: Allocate failed due to \
               requested number of devices unavailable for example.com/empty. Requested: 1, \
               Available: 0, which is unexpected",
            ],
            &[
                "Allocate at empty.sock, connection 1, container [n0]",
                "pod runs",
            ],
        )],
        reason: "After an `Allocate` response without a container response the devices are free again. The \
                 real kubelet counts them as allocated until another allocation fails or is released, \
                 which depends on everything else on the node.",
    },
];

/// The section of `node-sim`'s documentation.
fn documentation() -> String {
    let reasons = KNOWN.iter().map(|known| format!("* {}\n", known.reason));
    format!(
        "\n# How it differs from the real kubelet\n\n\
         Found by a comparison with recordings of the kubelets 1.34.4 and 1.37.2:\n\n{}",
        reasons.collect::<String>()
    )
}

/// What is listed and not found, and found and not listed, as text.
fn surprises(found: &[StepDifference]) -> String {
    let lines = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
    let listed: Vec<_> = KNOWN
        .iter()
        .flat_map(|known| known.steps)
        .map(|(step, real, simulated)| StepDifference {
            step: (*step).to_owned(),
            left: lines(real),
            right: lines(simulated),
        })
        .collect();
    let missing = listed.iter().filter(|listed| !found.contains(listed));
    let missing = missing.map(|listed| format!("listed in KNOWN, but not found: {listed}\n"));
    let new = found.iter().filter(|found| !listed.contains(found));
    let new = new.map(|found| format!("found, but not listed in KNOWN: {found}\n"));
    missing.chain(new).collect()
}

async fn compare(recorded: &str, reregistration: Reregistration) {
    let recorded = Recording::parse(recorded).unwrap();
    let options = KubeletOptions::new().reregistration(reregistration);
    let simulated = simulate(options).await.unwrap();
    let found = recorded.compare(&simulated).unwrap();
    let surprises = surprises(&found);
    assert!(
        surprises.is_empty(),
        "the simulated kubelet (+) and the kubelet {} (-) differ:\n{surprises}",
        recorded.kubelet
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulated_kubelet_behaves_like_1_37() {
    let recorded = include_str!("../../../crates/node-sim/tests/recorded/kubelet-1.37.2.txt");
    compare(recorded, Reregistration::Fixed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulated_kubelet_behaves_like_1_34() {
    let recorded = include_str!("../../../crates/node-sim/tests/recorded/kubelet-1.34.4.txt");
    compare(recorded, Reregistration::RaceUntil136).await;
}

#[test]
fn documentation_lists_the_known_differences() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/node-sim/src/kubelet/differences.md");
    if env::var_os("BLESS").is_some() {
        fs::write(&path, documentation()).unwrap();
    }
    assert!(
        fs::read_to_string(&path).is_ok_and(|text| text == documentation()),
        "node-sim's differences.md is not up to date: BLESS=1 cargo test -p tests --lib"
    );
}

#[test]
fn steps_are_listed_once() {
    let steps = KNOWN.iter().flat_map(|known| known.steps);
    let mut seen = BTreeSet::new();
    for (step, _, _) in steps {
        assert!(seen.insert(step), "`{step}` is listed twice");
    }
}
