//! From a question to what is printed.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Error};
use clap::CommandFactory as _;

use crate::answer::{Answer, for_the_terminal};
use crate::args::{Args, Command, Question};
use crate::groups::Groups;
use crate::names::Names;
use crate::pods::Pods;
use crate::pools::Pools;
use crate::site::Site;
use crate::tree::Tree;
use crate::{check, explain, list, manifest, show, snapshot, verify, watch};

/// Answers on standard output.
///
/// # Errors
///
/// What keeps the question from being answered.
pub(crate) fn ask(args: &Args) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let text = match &args.command {
        Command::List(list) => list::text(list)?,
        Command::Show(show) => {
            let names = Names::read(show.named.pci_ids.as_deref());
            let shown = |site: &Site| show::show(site, show.address, &names);
            answer(&show.named.question, shown)?
        }
        Command::Tree(question) => answer(question, Tree::new)?,
        Command::Groups(wanted) => {
            let names = Names::read(wanted.pci_ids.as_deref());
            answer(&wanted.question, |site| Ok(Groups::new(site, &names)))?
        }
        Command::Pools(question) => answer(question, |site| Ok(Pools::new(site)))?,
        Command::Pods(question) => answer(question, Pods::new)?,
        Command::Check(check) => {
            let (text, found) = check::text(check)?;
            code = found;
            text
        }
        Command::Explain(explain) => for_the_terminal(&explain::text(explain.finding.as_deref())?),
        Command::Verify(verify) => return verify::run(verify),
        Command::Watch(watch) => return watch::run(watch).map(|()| code),
        Command::Snapshot(taken) => snapshot::take(&Site::new(&taken.view)?, &taken.file)?,
        Command::Manifest(wanted) => {
            let site = Site::new(&wanted.view)?;
            manifest::text(&site, wanted.runtime, wanted.resource.as_deref())?
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "qat-inspect", &mut script);
            String::from_utf8(script).context("the completions are no text")?
        }
        Command::Man => {
            let mut page = Vec::new();
            let page_of = clap_mangen::Man::new(Args::command());
            page_of
                .render(&mut page)
                .context("cannot write the manual page")?;
            String::from_utf8(page).context("the manual page is no text")?
        }
    };
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(code)
}

/// Looks at the machine, and prints what is made of it.
fn answer<A: Answer>(
    question: &Question,
    of: impl FnOnce(&Site) -> anyhow::Result<A>,
) -> anyhow::Result<String> {
    let site = Site::new(&question.view)?;
    let text = question.output.render(&of(&site)?)?;
    Ok(site.as_on_the_machine(text))
}

/// Whoever reads our output, `head` say, may stop reading.
pub(crate) fn is_broken_pipe(error: &Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
