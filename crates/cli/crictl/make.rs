//! `runp`, `create`, `run` and `pull`.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use crilet_cri::{
    Client, Code, CriError,
    config::{self, Finding, Findings, Severity, Strictness},
    v1,
};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::{
    Call, Result, change, list, print, reach,
    report::{Fail, INTERRUPTED, Level, Tried, kernel_words, log},
};

/// What is done with the file of a pod, where it is not one of several.
const LOAD_POD: &str = "load podSandboxConfig";

/// Says what crictl would not mind; gives the config.
fn checked<T: Clone>(
    path: &str,
    read: std::result::Result<(config::Located<T>, Vec<Finding>), Findings>,
) -> Result<T> {
    if path != "-" && !Path::new(path).exists() {
        return Err(Fail::Fatal(format!("config at {path} not found")));
    }
    let (located, warnings) = read.map_err(|Findings(findings)| {
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        Fail::Fatal(errors.map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    for warning in warnings {
        log(Level::Warning, &warning.to_string());
    }
    Ok(located.config)
}

fn read_pod(path: &str) -> Result<v1::PodSandboxConfig> {
    let read = config::read_pod(Path::new(path), Strictness::Lenient);
    let mut pod = checked(path, read)?;
    config::fill_uid(&mut pod).map_err(|error| Fail::Fatal(format!("make a uid: {error}")))?;
    if pod.linux.as_ref().is_some_and(|linux| linux.cgroup_parent.is_empty()) {
        let words =
            "the pod has no cgroup_parent; `runtime-config` tells which form the runtime takes";
        log(Level::Warning, words);
    }
    Ok(pod)
}

pub(super) async fn run_pod(call: &Call) -> Result<()> {
    let [path] = call.line.arguments.as_slice() else { return Err(Fail::Help) };
    if path.is_empty() {
        return Err(Fail::Help);
    }
    let client = reach::client_with(call, "cancel-timeout").await?;
    let pod = read_pod(path).tried(LOAD_POD)?;
    let id = client.run_pod_sandbox(pod, call.line.text("runtime")).await;
    print(&format!("{}\n", id.tried("run pod sandbox")?))
}

/// Whether an image is to be pulled: as the options say, else as the configuration does.
fn wants_pull(call: &Call, configured: bool) -> Result<bool> {
    match (call.line.bool("no-pull"), call.line.bool("with-pull")) {
        (true, true) => Err(Fail::fatal("conflict: no-pull and with-pull are both set")),
        (no, yes) => Ok(yes || configured && !no),
    }
}

pub(super) async fn create(call: &Call) -> Result<()> {
    let [pod_id, container, pod] = call.line.arguments.as_slice() else { return Err(Fail::Help) };
    let pull = wants_pull(call, call.config.pull_image_on_create)?;
    let client = reach::client_with(call, "cancel-timeout").await?;
    let created = create_in(call, &client, pod_id, container, pod, pull).await;
    print(&format!("{}\n", created.tried("creating container")?))
}

async fn create_in(
    call: &Call,
    client: &Client,
    pod_id: &str,
    container: &str,
    pod: &str,
    pull: bool,
) -> Result<String> {
    let read = config::read_container(Path::new(container), Strictness::Lenient);
    let mut container = checked(container, read)?;
    let pod = read_pod(pod)?;
    let image = container.image.get_or_insert_default();
    if image.user_specified_image.is_empty() {
        image.user_specified_image.clone_from(&image.image);
    }
    if pull {
        let auth = auth(call).await?;
        let own = image.image.clone();
        let annotations = image.annotations.clone();
        let volumes = container.mounts.iter().filter_map(|mount| mount.image.as_ref());
        let volumes = volumes.map(|image| image.image.clone()).filter(|image| !image.is_empty());
        for image in std::iter::once(own).chain(volumes) {
            log(Level::Info, &format!("Pulling container image: {image}"));
            let spec = v1::ImageSpec {
                image,
                annotations: annotations.clone(),
                ..v1::ImageSpec::default()
            };
            pull_image(call, client, spec, auth.clone(), Some(pod.clone())).await?;
        }
    }
    Ok(client.create_container(pod_id, container, pod).await?)
}

pub(super) async fn run(call: &Call) -> Result<()> {
    let [container, pod] = call.line.arguments.as_slice() else { return Err(Fail::Help) };
    let pull = wants_pull(call, !call.config.disable_pull_on_run)?;
    let client = reach::client_with(call, "cancel-timeout").await?;
    let done = async {
        let config = read_pod(pod).tried(LOAD_POD)?;
        let sandbox = client.run_pod_sandbox(config, call.line.text("runtime")).await;
        let sandbox = sandbox.tried("run pod sandbox")?;
        let created = create_in(call, &client, &sandbox, container, pod, pull).await;
        let id = created.tried("creating container failed")?;
        change::start_one(&client, &id).await.tried(format!("starting the container {id:?}"))
    };
    done.await.tried("running container")
}

pub(super) async fn pull(call: &Call) -> Result<()> {
    let line = &call.line;
    let image = match line.arguments.as_slice() {
        [] => return Err(Fail::fatal("image name cannot be empty")),
        [image] if image.is_empty() => return Err(Fail::fatal("image name cannot be empty")),
        [image] => image.clone(),
        _ => return Err(Fail::Help),
    };
    let client = reach::client(call).await?;
    let auth = auth(call).await?;
    let pod = match line.is_set("pod-config") {
        true => Some(read_pod(line.text("pod-config")).tried(LOAD_POD)?),
        false => None,
    };
    let annotations: BTreeMap<_, _> = list::labels(line.list("annotation"))?;
    let spec = v1::ImageSpec { image, annotations, ..v1::ImageSpec::default() };
    let pulled = pull_image(call, &client, spec, auth, pod).await.tried("pulling image")?;
    print(&format!("Image is up to date for {pulled}\n"))
}

async fn pull_image(
    call: &Call,
    client: &Client,
    spec: v1::ImageSpec,
    auth: Option<v1::AuthConfig>,
    pod: Option<v1::PodSandboxConfig>,
) -> Result<String> {
    let limit = u64::try_from(call.line.duration("pull-timeout"));
    let limit = limit.map_err(|_| Fail::fatal("timeout should be bigger than 0"))?;
    let pull = client.pull_image(spec, auth, pod);
    if limit == 0 {
        return pull.await.map_err(refused);
    }
    let late =
        || Fail::fatal("rpc error: code = DeadlineExceeded desc = context deadline exceeded");
    let pulled = tokio::time::timeout(Duration::from_nanos(limit), pull).await;
    pulled.map_err(|_| late())?.map_err(refused)
}

/// Of a pull that failed in no known way, crictl shows the runtime's words alone.
fn refused(error: CriError) -> Fail {
    match error {
        CriError::Call { code: Code::Unknown, message, .. } => Fail::Fatal(message),
        other => other.into(),
    }
}

/// Who to be to a registry.
async fn auth(call: &Call) -> Result<Option<v1::AuthConfig>> {
    let line = &call.line;
    let (creds, auth, username) = (line.text("creds"), line.text("auth"), line.text("username"));
    let user = |username: &str, password: &str| v1::AuthConfig {
        username: username.to_owned(),
        password: password.to_owned(),
        ..v1::AuthConfig::default()
    };
    if !username.is_empty() {
        let password = ask_password(call).await?;
        return Ok(Some(user(username, &password)));
    }
    match (creds, auth, creds.split_once(':')) {
        ("", "", _) => Ok(None),
        ("", auth, _) => {
            Ok(Some(v1::AuthConfig { auth: auth.to_owned(), ..v1::AuthConfig::default() }))
        }
        (creds, "", None) => Ok(Some(user(creds, ""))),
        (_, "", Some(("", _))) => Err(Fail::fatal("username can't be empty")),
        (_, "", Some((username, password))) => Ok(Some(user(username, password))),
        _ => Err(Fail::fatal("both `--creds` and `--auth` are specified")),
    }
}

/// The terminal of standard input does not show what is typed while this is there.
struct Silent(Termios);

impl Silent {
    fn enter() -> io::Result<Self> {
        let found = tcgetattr(io::stdin())?;
        let mut silent = found.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &silent)?;
        Ok(Self(found))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0).unwrap_or_default();
    }
}

/// Reads a line from the terminal without showing it, unless a signal wants to leave.
async fn ask_password(call: &Call) -> Result<String> {
    let failed = |error: io::Error| Fail::Fatal(kernel_words(&error));
    // In this order: what is typed at once is not shown either.
    let silent = Silent::enter().map_err(failed)?;
    print("Enter Password:")?;
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let mut interrupt = call.interrupt.subscribe();
    let password = tokio::select! {
        read = read => read.unwrap_or_else(|error| Err(error.into())).map_err(failed),
        _ = interrupt.wait_for(|is_set| *is_set) => Err(Fail::fatal(INTERRUPTED)),
    };
    drop(silent);
    print("\n")?;
    Ok(password?.trim_end_matches(['\r', '\n']).to_owned())
}
