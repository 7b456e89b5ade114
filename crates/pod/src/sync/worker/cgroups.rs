//! The control group above pods that name none.

use crilet_cri::{Client, Code, CriError, v1};
use tokio::sync::OnceCell;

/// Where pods are to go when systemd drives control groups.
const SLICE: &str = "crilet.slice";

/// What the runtime's driver wants, asked when the first pod needs it: the runtime need not be
/// there before.
#[derive(Debug, Default)]
pub struct CgroupParent(OnceCell<String>);

impl CgroupParent {
    /// A slice for systemd's driver, which refuses pods that name none; empty, which is the
    /// runtime's own choice, for cgroupfs.
    pub(super) async fn get(&self, client: &Client) -> Result<String, CriError> {
        let ask = async || {
            let systemd = is_systemd(client).await?;
            tracing::debug!(systemd, "the runtime's driver of control groups is known");
            Ok(if systemd { SLICE.to_owned() } else { String::new() })
        };
        self.0.get_or_try_init(ask).await.cloned()
    }
}

async fn is_systemd(client: &Client) -> Result<bool, CriError> {
    match client.runtime_config().await {
        Ok(config) => {
            let linux = config.linux.as_ref();
            Ok(linux.is_some_and(|linux| linux.cgroup_driver() == v1::CgroupDriver::Systemd))
        }
        // containerd before 2 tells it in its configuration alone.
        Err(error) if error.code() == Some(Code::Unimplemented) => {
            let config = client.status(true).await?.info.remove("config").unwrap_or_default();
            Ok(config.replace(' ', "").contains("\"SystemdCgroup\":true"))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use crilet_cri::fake::{Builder, Fake};

    use super::*;

    async fn parent(fake: Builder) -> String {
        let directory = tempfile::tempdir().unwrap();
        let fake = fake.start(&directory.path().join("cri.sock")).unwrap();
        let client = Client::connect(fake.endpoint()).await.unwrap();
        CgroupParent::default().get(&client).await.unwrap()
    }

    #[tokio::test]
    async fn systemd_gets_a_slice_and_others_choose_themselves() {
        let newer = || Fake::builder().crio().with_method("RuntimeConfig");
        assert_eq!(parent(newer()).await, "");
        assert_eq!(parent(newer().systemd_cgroups()).await, "crilet.slice");
        assert_eq!(parent(Fake::builder()).await, "", "containerd 1.6 does not have the call");
        let older = Fake::builder().systemd_cgroups();
        assert_eq!(parent(older).await, "crilet.slice", "it says so in its configuration");
    }

    #[tokio::test]
    async fn a_runtime_that_is_away_is_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("cri.sock");
        let client = Client::later(&crilet_cri::Endpoint::new(&socket));
        let parent = CgroupParent::default();
        assert!(parent.get(&client).await.unwrap_err().is_unreachable());
        let fake = Fake::builder().with_method("RuntimeConfig").systemd_cgroups();
        let _fake = fake.start(&socket).unwrap();
        assert_eq!(parent.get(&client).await.unwrap(), "crilet.slice");
    }
}
