//! `qat-inspect watch`: what changes, as it happens.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use qat_node::hints::{Debounce, Hints};
use qat_node::{Verdict, resource_text};
use qat_policy::Standing;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep_until};

use crate::answer::{Answer as _, for_the_terminal};
use crate::args::Watch;
use crate::pools::Pools;
use crate::site::Site;
use crate::tree::Tree;

/// How often to look without a hint: what the plugin writes makes none.
const PACE: Duration = Duration::from_secs(1);

/// Prints changes until it is interrupted, or as many as were asked for.
pub(crate) fn run(watch: &Watch) -> anyhow::Result<()> {
    if watch.view.roots.from.is_some() {
        bail!("a snapshot does not change; `watch` is for the machine itself");
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime that listens")?;
    runtime.block_on(changes(watch))
}

async fn changes(watch: &Watch) -> anyhow::Result<()> {
    let screen = io::stdout().is_terminal();
    let mut site = Site::new(&watch.view)?;
    let mut hints = Hints::new(&site.roots);
    let mut debounce = Debounce::default();
    let mut before = facts(&site);
    if screen {
        draw(&site)?;
    } else {
        say(&format!("{} functions; waiting for changes", before.len()))?;
    }
    let mut left = watch.count.map(NonZeroUsize::get);
    let mut next = Instant::now() + PACE;
    loop {
        let due = debounce.due().unwrap_or(next);
        tokio::select! {
            biased;
            () = sleep_until(due.min(next)) => {}
            () = hints.next() => {
                debounce.hint(Instant::now());
                continue;
            }
        }
        debounce.looked();
        let _named = hints.take();
        next = Instant::now() + PACE;
        site = Site::new(&watch.view)?;
        let now = facts(&site);
        let lines = difference(&before, &now);
        if lines.is_empty() {
            continue;
        }
        before = now;
        if screen {
            draw(&site)?;
        }
        for line in lines {
            say(&line)?;
            if let Some(count) = &mut left {
                *count -= 1;
                if *count == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// One sentence for each function.
fn facts(site: &Site) -> BTreeMap<String, String> {
    let inventory = &site.look.inventory;
    let pfs = inventory.pfs.values().map(|pf| {
        let trouble = pf
            .trouble
            .first()
            .map_or_else(|| "well".to_owned(), ToString::to_string);
        (
            format!("PF {}", pf.address),
            format!("{} VFs, {trouble}", pf.vf_count),
        )
    });
    let mut facts: BTreeMap<String, String> = pfs.collect();
    for vf in inventory.vfs.values() {
        let standing = match &vf.standing {
            Standing::Offered { pool } => format!("can be offered as {}", resource_text(pool)),
            Standing::Withheld(reason) => format!("{}: {reason}", reason.code()),
        };
        facts.insert(format!("VF {}", vf.address), standing);
    }
    for (pool, vfs) in site
        .known
        .memory()
        .into_iter()
        .flat_map(|memory| &memory.pools)
    {
        for (address, vf) in vfs {
            let verdict = match &vf.verdict {
                Verdict::Healthy => "Healthy".to_owned(),
                Verdict::Unhealthy { code, reason } => format!("Unhealthy, {code}: {reason}"),
            };
            facts.insert(format!("{} {address}", resource_text(pool)), verdict);
        }
    }
    facts
}

/// What is another sentence now.
fn difference(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let changed = now
        .iter()
        .filter(|(name, fact)| before.get(*name) != Some(*fact));
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    changed
        .map(|(name, fact)| format!("{name}: {fact}"))
        .chain(gone.map(|name| format!("{name}: gone")))
        .collect()
}

/// The whole, on a cleared screen.
fn draw(site: &Site) -> anyhow::Result<()> {
    let tree = Tree::without_pods(site).text(false);
    let pools = Pools::new(site).text(false);
    let text = format!("{tree}\n{pools}\n");
    let text = for_the_terminal(&text);
    write(&format!("\u{1b}[2J\u{1b}[H{text}"))
}

fn say(line: &str) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let second = now.unwrap_or_default().as_secs() % 86_400;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    write(&format!(
        "{hour:02}:{minute:02}:{:02}Z {line}\n",
        second % 60
    ))
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_came_and_went_is_said() {
        let facts = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, fact)| ((*name).to_owned(), (*fact).to_owned()))
                .collect()
        };
        let before = facts(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let now = facts(&[("a", "1"), ("b", "2"), ("d", "1")]);
        assert_eq!(difference(&before, &now), ["b: 2", "d: 1", "c: gone"]);
        assert!(difference(&now, &now).is_empty());
    }
}
