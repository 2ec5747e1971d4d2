//! What runs in the machine, linked statically, since there is nothing else in it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The explicit target keeps the flags away from what runs at build time.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The programs.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds them, into a target folder of their own, because the flags differ.
    ///
    /// # Errors
    ///
    /// When Cargo fails; it has told why on standard error.
    pub fn build() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = root.join("target/vm");
        let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args([
                "build",
                "--locked",
                "--quiet",
                "--target",
                TARGET,
                "--target-dir",
            ])
            .arg(&folder)
            .args([
                "-p",
                "vm-guest",
                "-p",
                "qat-plugin",
                "-p",
                "qat-inspect",
                "--bins",
            ])
            .current_dir(&root)
            .env(
                "RUSTFLAGS",
                "-C target-feature=+crt-static -C strip=symbols",
            )
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .context("cannot run Cargo")?;
        if !status.success() {
            bail!("the programs for the machine cannot be built: {status}");
        }
        Ok(Self {
            folder: folder.join(TARGET).join("debug"),
        })
    }

    /// The file of one.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The names of the cases, `group::case`, in their order.
    ///
    /// # Errors
    ///
    /// When the guest's program cannot be run here.
    pub fn cases(&self) -> Result<Vec<String>> {
        let guest = self.path("vm-guest");
        let output = Command::new(&guest).arg("list").output();
        let output = output.with_context(|| format!("cannot run `{}`", guest.display()))?;
        if !output.status.success() {
            bail!("`{} list` failed: {}", guest.display(), output.status);
        }
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(ToOwned::to_owned).collect())
    }
}
