use std::time::Duration;

use super::Client;
use crate::{
    Code,
    fake::{Fake, Fault},
    v1,
};

const LOST: &str = "failed to stop container \"x\": ttrpc: closed: unknown";

/// What containerd answers while a container's end is being noted is asked again, for each call that
/// ends something and may be made twice; what stays so is told.
#[tokio::test]
async fn a_shim_that_has_just_gone_is_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::builder().start(&directory.path().join("fake.sock")).unwrap();
    let client = Client::connect(fake.endpoint()).await.unwrap();
    let methods = ["StopContainer", "RemoveContainer", "StopPodSandbox", "RemovePodSandbox"];
    let metadata = v1::PodSandboxMetadata { name: "web".to_owned(), ..Default::default() };
    let config = v1::PodSandboxConfig { metadata: Some(metadata), ..Default::default() };
    let sandbox = client.run_pod_sandbox(config, "").await.unwrap();
    fake.clear_calls();
    for method in methods {
        fake.fault(method, Fault::fail(Code::Unknown, LOST).times(2));
        match method {
            "StopContainer" => client.stop_container("x", Duration::from_secs(1)).await,
            "RemoveContainer" => client.remove_container("x").await,
            "StopPodSandbox" => client.stop_pod_sandbox(&sandbox).await,
            _ => client.remove_pod_sandbox(&sandbox).await,
        }
        .or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
        .unwrap();
    }
    let made: Vec<_> = fake.calls().into_iter().map(|call| call.method).collect();
    assert_eq!(made, methods.map(|method| [method; 3]).concat());

    fake.fault("StopContainer", Fault::fail(Code::Unknown, LOST).always());
    let error = client.stop_container("x", Duration::ZERO).await.unwrap_err();
    assert!(error.is_shim_gone(), "{error}");

    fake.heal();
    fake.clear_calls();
    fake.fault("StopContainer", Fault::fail(Code::Unknown, "no").always());
    client.stop_container("x", Duration::ZERO).await.unwrap_err();
    assert_eq!(fake.calls().len(), 1, "other failures are told at once");
}
