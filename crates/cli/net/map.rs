//! `crilet net map`.

use std::process::ExitCode;

use clap::Args;
use crilet_network::{
    map::{Map, dot, html, svg, text},
    trace::Node,
};

use super::source::{SourceArgs, tell_problems};
use crate::{errors::CliError, global::Global, output};

/// Options of `crilet net map`.
#[derive(Debug, Args)]
#[command(after_help = "crilet net map -o svg > node.svg")]
pub(super) struct MapArgs {
    /// How to draw it
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    source: SourceArgs,
}

/// Forms of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// A tree, 80 columns wide
    #[default]
    Text,
    /// For graphviz
    Dot,
    /// A picture
    Svg,
    /// A page with the picture
    Html,
}

/// Draws the node.
pub(super) async fn run(global: &Global, args: &MapArgs) -> Result<ExitCode, CliError> {
    let snapshot = args.source.snapshot(global).await?;
    tell_problems(&snapshot);
    let map = Map::of(&Node::new(&snapshot));
    let drawn = match args.output {
        Form::Text => text(&map),
        Form::Dot => dot(&map),
        Form::Svg => svg(&map),
        Form::Html => html(&map),
    };
    output::data(&drawn).map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}
