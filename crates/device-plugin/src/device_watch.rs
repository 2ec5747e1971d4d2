//! Devices that are found by looking at the machine again and again.

use crate::{device_set::DeviceSet, error::chain};
use std::{
    error::Error,
    fs::{self, FileType},
    io::ErrorKind,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::{Handle, TryCurrentError},
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

/// What a look may fail with. Anything that is an error becomes one with `?` or `into`.
type LookError = Box<dyn Error + Send + Sync>;

/// How often a path is looked at. It is one system call.
const PATH_PERIOD: Duration = Duration::from_secs(1);

/// Looks at the machine now and then every so often, and publishes what it finds.
///
/// This is the simple way to have something for
/// [`DevicePlugin::devices`](crate::DevicePlugin::devices). A device that was found once and is
/// missing later stays in the list, unhealthy ([`DeviceSet::keeping`]). While a look fails all
/// stays as it was; the failure is logged once, and so is its end. The looking ends when this
/// is dropped.
///
/// ```
/// # use device_plugin::{DeviceSet, DeviceWatch};
/// # use std::{fs, time::Duration};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // One device for each CPU that is online, `cpu-0` and so on.
/// let devices = DeviceWatch::every(Duration::from_secs(10), || {
///     let listed = fs::read_to_string("/proc/cpuinfo")?;
///     let count = listed.lines().filter(|line| line.starts_with("processor")).count();
///     Ok(DeviceSet::numbered("cpu", u32::try_from(count)?)?)
/// })?;
/// devices.subscribe().wait_for(|set| !set.is_empty()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DeviceWatch {
    devices: watch::Receiver<Arc<DeviceSet>>,
    _task: AbortOnDropHandle<()>,
}

impl DeviceWatch {
    /// Calls `look` at once and then every `period`.
    ///
    /// `look` returns the devices that are there now; see [`DeviceSet::keeping`] for the others. It
    /// runs on the runtime, between calls of the kubelet, so it must not block for long.
    /// A period of zero counts as a millisecond.
    ///
    /// # Errors
    ///
    /// [`TryCurrentError`] outside of a tokio runtime.
    pub fn every<F>(period: Duration, mut look: F) -> Result<Self, TryCurrentError>
    where
        F: FnMut() -> Result<DeviceSet, LookError> + Send + 'static,
    {
        let runtime = Handle::try_current()?;
        let (sender, devices) = watch::channel(Arc::default());
        let task = runtime.spawn(async move {
            let mut timer = interval(period.max(Duration::from_millis(1)));
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut failure = None;
            loop {
                timer.tick().await;
                publish(&sender, look(), &mut failure);
            }
        });
        Ok(Self {
            devices,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Publishes `devices` while there is a file of the right `kind` at `path`: the node of a
    /// device, or the socket of a service. Looks once a second.
    ///
    /// ```
    /// # use device_plugin::{DeviceSet, DeviceWatch};
    /// use std::os::unix::fs::FileTypeExt;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let all = DeviceSet::numbered("null", 2)?;
    /// let devices = DeviceWatch::of_path("/dev/null", FileTypeExt::is_char_device, all)?;
    /// devices.subscribe().wait_for(|set| set.len() == 2).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`every`](Self::every).
    pub fn of_path(
        path: impl Into<PathBuf>,
        kind: fn(&FileType) -> bool,
        devices: DeviceSet,
    ) -> Result<Self, TryCurrentError> {
        let path = path.into();
        Self::every(PATH_PERIOD, move || match fs::metadata(&path) {
            Ok(found) if kind(&found.file_type()) => Ok(devices.clone()),
            Ok(_) => Ok(DeviceSet::default()),
            Err(error) if is_missing(error.kind()) => Ok(DeviceSet::default()),
            Err(error) => Err(format!("`{}`: {error}", path.display()).into()),
        })
    }

    /// Returns a view of the devices, as they are now and as they change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<DeviceSet>> {
        self.devices.clone()
    }
}

/// Publishes what a look found, if that is news. Says once what it failed with.
fn publish(
    sender: &watch::Sender<Arc<DeviceSet>>,
    found: Result<DeviceSet, LookError>,
    failure: &mut Option<String>,
) {
    match found {
        Ok(found) => {
            if failure.take().is_some() {
                tracing::info!("the devices can be looked at again");
            }
            sender.send_if_modified(|published| {
                let now = found.keeping(published);
                let news = **published != now;
                if news {
                    *published = Arc::new(now);
                }
                news
            });
        }
        Err(error) => {
            let text = chain(error.as_ref());
            if failure.as_ref() != Some(&text) {
                tracing::warn!(
                    error = text,
                    "cannot look at the devices; what was offered stays"
                );
                *failure = Some(text);
            }
        }
    }
}

/// A parent that is missing or no directory means that there is no file, too.
fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Health;
    use std::{io, sync::mpsc};
    use tempfile::tempdir;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_turns_unhealthy_and_a_failed_look_changes_nothing() {
        let (results, next) = mpsc::channel::<Result<u32, LookError>>();
        let watch = DeviceWatch::every(Duration::from_secs(1), move || {
            Ok(DeviceSet::numbered("a", next.try_recv()??)?)
        })
        .unwrap();
        let mut devices = watch.subscribe();
        let healthy = |set: &DeviceSet| {
            let healthy = set.iter().filter(|device| device.health == Health::Healthy);
            healthy.count()
        };
        assert!(devices.borrow().is_empty());
        results.send(Ok(3)).unwrap();
        assert_eq!(
            devices.wait_for(|set| set.len() == 3).await.unwrap().len(),
            3
        );
        results.send(Err(io::Error::other("gone").into())).unwrap();
        results.send(Ok(1)).unwrap();
        let set = devices.wait_for(|set| healthy(set) < 3).await.unwrap();
        assert_eq!(
            (set.len(), healthy(&set)),
            (3, 1),
            "the failure was no news"
        );
        drop(set);
        results.send(Ok(2)).unwrap();
        devices.wait_for(|set| healthy(set) == 2).await.unwrap();

        drop(watch);
        assert!(devices.changed().await.is_err(), "the looking ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_path_is_followed() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("new/file");
        let watch = DeviceWatch::of_path(
            &path,
            FileType::is_file,
            DeviceSet::numbered("a", 2).unwrap(),
        );
        let watch = watch.unwrap();
        let mut devices = watch.subscribe();
        let all_are = |health| {
            move |set: &Arc<DeviceSet>| {
                !set.is_empty() && set.iter().all(|device| device.health == health)
            }
        };
        assert!(timeout(PATH_PERIOD * 3, devices.changed()).await.is_err());
        fs::create_dir_all(&path).unwrap();
        assert!(timeout(PATH_PERIOD * 3, devices.changed()).await.is_err());
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "").unwrap();
        devices.wait_for(all_are(Health::Healthy)).await.unwrap();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        devices.wait_for(all_are(Health::Unhealthy)).await.unwrap();
    }

    #[test]
    fn without_a_runtime_there_is_an_error() {
        assert!(DeviceWatch::every(Duration::ZERO, || Ok(DeviceSet::default())).is_err());
    }
}
