//! `crilet inspect`: all there is to know of single pods, containers and images.

mod facts;
mod image;
mod json;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::process::ExitCode;

use clap::Args;
use crilet_cri::{
    Client,
    inventory::{self, Container, Detail, Pod},
    v1,
};
use crilet_crictl::{
    json::{Escapes, Json},
    yaml,
};
use crilet_pod::FindError;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{connect, errors::CliError, global::Global, images, output, publish, target, values};

pub(crate) use self::words::{ended, megabytes};

/// Status calls under way at a time.
const CONCURRENCY: usize = 8;

/// Options of `crilet inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// What: POD, POD/CONTAINER, NAMESPACE/POD[/CONTAINER], an image, an id or its beginning
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Only what is of this kind, where a name may mean several things; without, a pod goes before a
    /// container, and both before an image
    #[arg(short = 't', long = "type", value_enum, value_name = "KIND")]
    kind: Option<Kind>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: values::Document,
}

/// Kinds of things that a runtime has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A pod, with its containers
    Pod,
    /// A container
    Container,
    /// An image
    Image,
}

/// A container, and all that the runtime tells of it.
struct Told {
    listed: Container,
    answer: v1::ContainerStatusResponse,
}

/// What was asked for.
enum Thing {
    Pod { pod: Box<Pod>, answer: Box<v1::PodSandboxStatusResponse>, containers: Vec<Told> },
    Container { pod: Box<Pod>, container: Box<Told> },
    Image { answer: Box<v1::ImageStatusResponse>, users: Vec<String> },
}

/// Prints what people want to know first, or everything.
pub(crate) async fn run(global: &Global, args: InspectArgs) -> Result<ExitCode, CliError> {
    let client = connect::client(global).await?;
    let pods = inventory::read(&client, Detail::Lists).await?;
    let mut things = Vec::new();
    for name in &args.names {
        things.push(find(&client, &pods, name, args.kind).await?);
    }
    let written = match args.output {
        values::Document::Text => {
            output::data(&things.iter().map(text::of).collect::<Vec<_>>().join("\n"))
        }
        values::Document::Json => output::data(&(document(&things).indented(Escapes::Few) + "\n")),
        values::Document::Yaml => output::data(&yaml::document(&document(&things))),
    };
    written.map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// One thing stands alone, several in a list.
fn document(things: &[Thing]) -> Json {
    match things {
        [one] => json::of(one),
        several => Json::Array(several.iter().map(json::of).collect()),
    }
}

fn what(kind: Option<Kind>) -> &'static str {
    match kind {
        None => "pod, container or image",
        Some(Kind::Pod) => "pod",
        Some(Kind::Container) => "container",
        Some(Kind::Image) => "image",
    }
}

async fn find(
    client: &Client,
    pods: &[Pod],
    name: &str,
    kind: Option<Kind>,
) -> Result<Thing, CliError> {
    let missing = || CliError::NothingNamed { kind: what(kind), name: name.to_owned() };
    if kind == Some(Kind::Image) {
        return find_image(client, pods, name).await?.ok_or_else(missing);
    }
    let error = match target::find_target(pods, name) {
        Ok(wanted) if wanted.whole && kind != Some(Kind::Container) => {
            return read_pod(client, wanted.pod).await;
        }
        Ok(wanted) if kind != Some(Kind::Pod) => match wanted.containers.as_slice() {
            [several @ .., last] if several.is_empty() || !wanted.whole => {
                return read_container(client, wanted.pod, last).await;
            }
            several => CliError::SeveralContainers {
                pod: wanted.pod.full_name(),
                names: several.iter().map(|container| container.name.clone()).collect(),
            },
        },
        Ok(_) => missing(),
        Err(error) => error,
    };
    // What is written like a container may be an image: `library/busybox`.
    let may_be_image = kind.is_none()
        && matches!(
            error,
            CliError::Find(FindError::NotFound { .. }) | CliError::NoContainer { .. }
        );
    if !may_be_image {
        return Err(error);
    }
    match find_image(client, pods, name).await? {
        Some(image) => Ok(image),
        None => Err(match error {
            CliError::Find(FindError::NotFound { suggestion: None, .. }) => missing(),
            error => error,
        }),
    }
}

async fn read_pod(client: &Client, pod: &Pod) -> Result<Thing, CliError> {
    let containers = stream::iter(pod.containers.clone())
        .map(|listed| async move { told(client, listed).await })
        .buffered(CONCURRENCY)
        .try_collect::<Vec<_>>();
    let answer = async { Ok(client.pod_sandbox_status(&pod.id, true).await?) };
    let (answer, containers) = tokio::try_join!(answer, containers)?;
    let mut pods = [pod.clone()];
    pods[0].details = Some(inventory::pod_details(answer.clone()));
    publish::add_published(&mut pods);
    let [pod] = pods;
    Ok(Thing::Pod { pod: Box::new(pod), answer: Box::new(answer), containers })
}

async fn read_container(
    client: &Client,
    pod: &Pod,
    container: &Container,
) -> Result<Thing, CliError> {
    let sandbox = async { Ok(inventory::read_details(client, &pod.id).await?) };
    let (details, container) = tokio::try_join!(sandbox, told(client, container.clone()))?;
    let pod = Pod { details, ..pod.clone() };
    Ok(Thing::Container { pod: Box::new(pod), container: Box::new(container) })
}

async fn told(client: &Client, listed: Container) -> Result<Told, CliError> {
    let answer = client.container_status(&listed.id, true).await?;
    Ok(Told { listed, answer })
}

/// Finds an image by what a runtime takes for its name, or by the beginning of its id.
async fn find_image(client: &Client, pods: &[Pod], name: &str) -> Result<Option<Thing>, CliError> {
    if name.is_empty() {
        // containerd takes it for the beginning of any id.
        return Ok(None);
    }
    let mut answer = client.image_status(name, true).await?;
    if answer.image.is_none() {
        let images = client.list_images(None).await?;
        let found = images::by_id(&images, name)?;
        if let Some(image) = found {
            answer = client.image_status(&image.id, true).await?;
        }
    }
    let Some(image) = &answer.image else { return Ok(None) };
    let users = image::users(pods, image);
    Ok(Some(Thing::Image { answer: Box::new(answer), users }))
}
