//! `crilet cp`.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use crilet_cri::{
    Client,
    inventory::{self, Container, ContainerState},
};
use crilet_stream::files::{self, Copied, FileError, Options, Root};

use crate::{connect, errors::CliError, global::Global, output, target};

/// Options of `crilet cp`.
#[derive(Debug, Args)]
#[command(
    after_help = "A directory that is there gets the source into it, as does `cp`; a source that ends in \
                        `/.` means what is in it. Owners keep their numbers."
)]
pub(crate) struct CpArgs {
    /// What to copy: PATH, POD[/CONTAINER]:PATH, or - for a tar archive on standard input
    #[arg(value_name = "SOURCE")]
    source: End,
    /// Where to: as the source; - for a tar archive on standard output
    #[arg(value_name = "DESTINATION")]
    destination: End,
    /// Copy what a symbolic link leads to, if the source is one
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Let everything belong to this user and group, by the destination's numbers
    #[arg(long, value_name = "USER[:GROUP]", value_parser = owner)]
    chown: Option<(u32, u32)>,
    /// Keep set-user-id, set-group-id and capabilities of files out of a container, too
    #[arg(short, long)]
    archive: bool,
}

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Archive,
    Here(PathBuf),
    Inside { target: String, path: PathBuf },
}

impl std::str::FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("expected a path".to_owned());
        }
        let is_path = text.starts_with(['/', '.']);
        match text.split_once(':') {
            _ if text == "-" => Ok(Self::Archive),
            Some(("", _)) => Err("expected a pod before the colon".to_owned()),
            Some((_, "")) => Err("expected a path after the colon".to_owned()),
            Some((target, path)) if !is_path => {
                Ok(Self::Inside { target: target.to_owned(), path: path.into() })
            }
            _ => Ok(Self::Here(text.into())),
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Archive => formatter.write_str("-"),
            Self::Here(path) => write!(formatter, "{}", path.display()),
            Self::Inside { target, path } => write!(formatter, "{target}:{}", path.display()),
        }
    }
}

fn owner(text: &str) -> Result<(u32, u32), String> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
    Ok((number(user)?, number(group)?))
}

/// Copies to or from a container, or from one to another.
pub(crate) async fn run(global: &Global, args: CpArgs) -> Result<ExitCode, CliError> {
    let options =
        Options { follow: args.follow_link, owner: args.chown, keep_privileges: args.archive };
    let inside = |end: &End| matches!(end, End::Inside { .. });
    if !inside(&args.source) && !inside(&args.destination) {
        let (from, to) = (args.source.to_string(), args.destination.to_string());
        return Err(CliError::NoContainerPath { from, to });
    }
    let client = connect::client(global).await?;
    let from = open(&client, args.source).await?;
    let to = open(&client, args.destination).await?;
    let copied = tokio::task::spawn_blocking(move || copy(&from, &to, options)).await;
    let copied = match copied.map_err(|cause| CliError::Start { cause: io::Error::other(cause) })? {
        Err(CliError::Files(FileError::Archive { doing: "write", cause }))
            if cause.kind() == io::ErrorKind::BrokenPipe =>
        {
            return Ok(ExitCode::SUCCESS);
        }
        other => other?,
    };
    for path in &copied.skipped {
        output::say(&format!("left out `{}`: a socket or a device", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// An end that was found.
enum Opened {
    Archive,
    Tree(Root, PathBuf),
}

async fn open(client: &Client, end: End) -> Result<Opened, CliError> {
    match end {
        End::Archive => Ok(Opened::Archive),
        End::Here(path) => Ok(Opened::Tree(Root::of_host(), path)),
        End::Inside { target, path } => {
            let (pod, container) = target::running_container(client, &target).await?;
            let name = format!("{}/{}", pod.full_name(), container.name);
            let root = container_root(client, &container).await?;
            let root = root.ok_or(CliError::ContainerEnded { container: name })?;
            Ok(Opened::Tree(root, path))
        }
    }
}

/// The root of a container's first process, nobody else's: its pid may be given away between being told
/// and being used, but not before the container has ended.
async fn container_root(client: &Client, container: &Container) -> Result<Option<Root>, CliError> {
    let Some(pid) = pid(client, container).await? else { return Ok(None) };
    let root = match Root::of_process(pid) {
        Err(FileError::Root { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        other => other?,
    };
    let is_same = pid_is_still(client, container, pid).await?;
    Ok(is_same.then_some(root))
}

async fn pid(client: &Client, container: &Container) -> Result<Option<u32>, CliError> {
    let described = inventory::read_container(client, container).await?;
    let running = described.filter(|container| container.state == ContainerState::Running);
    Ok(running.and_then(|container| container.details?.pid))
}

async fn pid_is_still(client: &Client, container: &Container, pid: u32) -> Result<bool, CliError> {
    Ok(self::pid(client, container).await? == Some(pid))
}

fn copy(from: &Opened, to: &Opened, options: Options) -> Result<Copied, CliError> {
    let copied = match (from, to) {
        (Opened::Tree(from, source), Opened::Tree(to, destination)) => {
            files::copy((from, source), (to, destination), options)?
        }
        (Opened::Tree(from, source), Opened::Archive) => {
            files::pack((from, source), output::stream(), options)?
        }
        (Opened::Archive, Opened::Tree(to, destination)) => {
            files::unpack(io::stdin().lock(), (to, Path::new(destination)), options)?
        }
        // Was refused before.
        (Opened::Archive, Opened::Archive) => Copied::default(),
    };
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        let read = |text: &str| text.parse::<End>();
        let inside = |target: &str, path: &str| {
            Ok(End::Inside { target: target.to_owned(), path: path.into() })
        };
        assert_eq!(read("db:/etc"), inside("db", "/etc"));
        assert_eq!(read("default/db/mysql:a:b"), inside("default/db/mysql", "a:b"));
        assert_eq!(read("./a:b"), Ok(End::Here("./a:b".into())));
        assert_eq!(read("/a:b"), Ok(End::Here("/a:b".into())));
        assert_eq!(read("a"), Ok(End::Here("a".into())));
        assert_eq!(read("-"), Ok(End::Archive));
        for wrong in ["", ":/a", "db:"] {
            assert!(read(wrong).is_err(), "{wrong:?} is no end");
        }
    }
}
