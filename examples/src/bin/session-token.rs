//! Gives each container a token of a local service, for a device that has to be opened first.
//!
//! ```sh
//! session-token example.com/session /run/sessions.sock 16 /var/lib/kubelet/device-plugins
//! ```
//!
//! The service listens on a unix socket. It is asked `token session-3 session-7`, one line for one
//! container, and answers `ok` and the token, or with another line that says why not. Nobody tells
//! it when the container ends, so tokens should expire; and the kubelet keeps them in a file, as
//! it does all variables, so they should be good for one use.
#![forbid(unsafe_code)]

use anyhow::{Context, bail};
use async_trait::async_trait;
use device_plugin::{
    AllocateError, ContainerEdits, DeviceId, DevicePlugin, DeviceSet, DeviceWatch, KubeletDir,
    ResourceName, Supervisor, stop_signal,
};
use std::{env, os::unix::fs::FileTypeExt, path::PathBuf, sync::Arc, time::Duration};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::{net::UnixStream, sync::watch, time::timeout};

struct Sessions {
    service: PathBuf,
    devices: DeviceWatch,
}

impl Sessions {
    async fn token(&self, ids: &[DeviceId]) -> anyhow::Result<String> {
        let ids: Vec<_> = ids.iter().map(DeviceId::as_str).collect();
        let question = format!("token {}\n", ids.join(" "));
        let mut stream = BufReader::new(UnixStream::connect(&self.service).await?);
        stream.write_all(question.as_bytes()).await?;
        let answer = stream.lines().next_line().await?.context("it hung up")?;
        let token = answer.strip_prefix("ok ").map(str::to_owned);
        token.context(answer)
    }
}

#[async_trait]
impl DevicePlugin for Sessions {
    fn devices(&self) -> watch::Receiver<Arc<DeviceSet>> {
        self.devices.subscribe()
    }

    async fn allocate(&self, ids: &[DeviceId]) -> Result<ContainerEdits, AllocateError> {
        let token = timeout(Duration::from_secs(5), self.token(ids)).await;
        let token = token.context("no answer in 5 s").flatten();
        let token = token.with_context(|| format!("no session from `{}`", self.service.display()));
        let token = token.map_err(AllocateError::because)?;
        let mut edits = ContainerEdits::default();
        edits.envs.insert("SESSION_TOKEN".to_owned(), token);
        Ok(edits)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [resource, service, count, kubelet_dir] = &args[..] else {
        bail!("usage: session-token RESOURCE SERVICE COUNT KUBELET_DIR");
    };
    plugin_admin::init(plugin_admin::LogFormat::Text, 1)?;
    let resource: ResourceName = resource.parse()?;
    let count = count.parse().context("COUNT is no number")?;
    let all = DeviceSet::numbered(resource.name(), count)?;
    let devices = DeviceWatch::of_path(service, FileTypeExt::is_socket, all)?;
    let service = service.into();
    let mut supervisor = Supervisor::new(KubeletDir::new(kubelet_dir));
    supervisor.offer(resource, Arc::new(Sessions { service, devices }))?;
    stop_signal().await?;
    supervisor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
