//! `crilet image`: images without a registry.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use crilet_core::ImageName;
use crilet_runtime::{
    image::{LoadedImage, Source, import, load},
    oci::ImageConfig,
};

use crate::{
    connect,
    errors::CliError,
    global::Global,
    image_gc,
    images::{self, ImagesArgs},
    output,
};

/// Verbs of `crilet image`.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[command(subcommand)]
    verb: ImageVerb,
}

#[derive(Debug, Subcommand)]
enum ImageVerb {
    /// Have the daemon remove images that nobody needs, if the disk is too full
    Gc(image_gc::GcArgs),
    /// Load the images of an archive: an OCI layout, or what `docker save` writes
    Load(LoadArgs),
    /// Make an image of a root file system
    Import(ImportArgs),
    /// List images
    Ls(ImagesArgs),
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// Archive, gzipped or not; directory of an OCI layout; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name for an image that has none in the archive, or another one
    #[arg(long)]
    name: Option<ImageName>,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// The root file system, gzipped or not
    #[arg(value_name = "ROOTFS.tar")]
    rootfs: PathBuf,
    /// Name of the image
    #[arg(value_name = "NAME")]
    name: ImageName,
    /// Program that a container runs, and its leading arguments: each word one flag
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// Arguments after the entry point: each word one flag
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// Variable of the environment
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Directory in which the program starts
    #[arg(long, value_name = "DIRECTORY", default_value = "/")]
    workdir: String,
    /// User, by name or number, that runs the program; root without
    #[arg(long, value_name = "USER[:GROUP]", default_value = "", hide_default_value = true)]
    user: String,
}

/// Runs a verb of `crilet image`.
pub(crate) async fn run(global: &Global, args: ImageArgs) -> Result<ExitCode, CliError> {
    match args.verb {
        ImageVerb::Gc(args) => image_gc::run(global, args).await,
        ImageVerb::Load(args) => {
            let client = connect::client(global).await?;
            let is_stdin = args.file.as_os_str() == "-";
            let source = if is_stdin { Source::Stdin } else { Source::Path(&args.file) };
            tell(&load(&client, source, args.name.as_ref()).await?)
        }
        ImageVerb::Import(args) => {
            let client = connect::client(global).await?;
            let config = config_of(&args);
            tell(&[import(&client, &args.rootfs, &args.name, &config).await?])
        }
        ImageVerb::Ls(args) => images::run(global, args).await,
    }
}

fn config_of(args: &ImportArgs) -> ImageConfig {
    ImageConfig {
        entrypoint: args.entrypoint.clone(),
        cmd: args.cmd.clone(),
        env: args.env.clone(),
        working_dir: args.workdir.clone(),
        user: args.user.clone(),
        ..ImageConfig::default()
    }
}

fn tell(loaded: &[LoadedImage]) -> Result<ExitCode, CliError> {
    for image in loaded {
        output::line(&image.name).map_err(CliError::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}
