//! What a kubelet does, as a device plugin sees it: one script, any kubelet, and a recording.
//!
//! The script in `script` is data. A plugin without a framework plays it, against a real kubelet
//! or the simulated one, and writes down each call, its headers, how long things take, and what
//! becomes of devices and pods. The recordings of real kubelets are in `tests/it/kubelet`.

mod allocations;
mod connection;
#[cfg(test)]
mod differences;
mod head;
mod node;
mod player;
mod plugin;
mod real;
mod recording;
mod script;
mod simulated;
mod timing;

use anyhow::Result;
use node_sim::KubeletOptions;
use tokio::task::JoinSet;

pub use self::real::RealKubelet;
pub use self::recording::{RecordedScenario, RecordedStep, Recording, StepDifference};
use self::{player::Player, real::RealNode, simulated::SimulatedNode};

/// Plays the script against a real kubelet. `progress` gets the name of each scenario.
///
/// # Errors
///
/// The kubelet cannot be reached, or a step of the script could not be carried out.
pub async fn record(
    kubelet: RealKubelet,
    date: String,
    progress: impl FnMut(&str),
) -> Result<Recording> {
    let version = kubelet.version().await?;
    let scenarios = player::play_all(&mut RealNode::new(kubelet), progress).await?;
    Ok(Recording {
        kubelet: version,
        date,
        scenarios,
    })
}

/// Plays the script against simulated kubelets: one for each scenario, all at once.
///
/// # Errors
///
/// As for [`record`].
pub async fn simulate(options: KubeletOptions) -> Result<Recording> {
    let mut players = JoinSet::new();
    for (index, scenario) in script::scenarios().enumerate() {
        let options = options.clone();
        players.spawn(async move {
            let mut node = SimulatedNode::new(options).await?;
            Ok((index, Player::play(&mut node, scenario).await?))
        });
    }
    let played: Result<Vec<_>> = players.join_all().await.into_iter().collect();
    let mut played = played?;
    played.sort_unstable_by_key(|(index, _)| *index);
    Ok(Recording {
        kubelet: "simulated".to_owned(),
        date: "never".to_owned(),
        scenarios: played.into_iter().map(|(_, scenario)| scenario).collect(),
    })
}
